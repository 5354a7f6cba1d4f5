"""Which images train, validate and test."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.contract.recipes import Splits
from lrsearch.contract.splits import split_sizes
from lrsearch_worker.data.splits import SplitIndices, split

DEFAULT = Splits()


def contents(*names: str) -> list[str]:
    return [hashlib.sha256(name.encode()).hexdigest() for name in names]


def data_set(labels: int, images: int) -> tuple[list[str], np.ndarray]:
    hashes = contents(*(f"{label}-{i}" for label in range(labels) for i in range(images)))
    return hashes, np.repeat(np.arange(labels), images)


def contents_of(indices: np.ndarray, hashes: list[str]) -> set[str]:
    return {hashes[i] for i in indices}


@pytest.mark.parametrize(
    ("images", "sizes"), [(2, (1, 1, 0)), (3, (1, 1, 1)), (10, (6, 2, 2)), (100, (64, 16, 20))]
)
def test_sizes_at_the_default_shares(images: int, sizes: tuple[int, int, int]) -> None:
    assert split_sizes(images, DEFAULT) == sizes


def test_no_test_split_where_its_share_is_zero() -> None:
    assert split_sizes(100, Splits(validation=0.2, test=0.0)) == (80, 20, 0)


def test_a_label_of_one_image_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"a label has 1 images; .* none be left to train on"):
        split_sizes(1, DEFAULT)


@given(st.integers(2, 500), st.floats(0.01, 0.4), st.floats(0.0, 0.5))
def test_sizes_add_up(images: int, validation: float, test: float) -> None:
    try:
        sizes = split_sizes(images, Splits(validation=validation, test=test))
    except ValueError:
        return
    assert sum(sizes) == images
    assert sizes.train >= 1
    assert sizes.validation >= 1


def test_every_label_has_its_share_of_every_split() -> None:
    hashes, labels = data_set(labels=4, images=50)
    parts = split(hashes, labels, DEFAULT, seed=0)
    for part, size in zip(parts, split_sizes(50, DEFAULT), strict=True):
        assert np.bincount(labels[part]).tolist() == [size] * 4
    assert sorted(np.concatenate(parts).tolist()) == list(range(200))


def test_the_split_depends_on_contents_and_seed_and_not_on_the_order_of_the_files() -> None:
    hashes, labels = data_set(labels=3, images=20)
    order = np.random.default_rng(0).permutation(60)
    first = split(hashes, labels, DEFAULT, seed=1)
    shuffled_hashes = [hashes[i] for i in order]
    second = split(shuffled_hashes, labels[order], DEFAULT, seed=1)
    for a, b in zip(first, second, strict=True):
        assert [hashes[i] for i in a] == [shuffled_hashes[i] for i in b]
    other = split(hashes, labels, DEFAULT, seed=2)
    assert contents_of(first.test, hashes) != contents_of(other.test, hashes)


def test_subsets_for_fewer_images_per_label_are_nested_and_leave_the_other_splits_alone() -> None:
    hashes, labels = data_set(labels=3, images=30)
    five, ten, everything = (split(hashes, labels, DEFAULT, 0, n) for n in (5, 10, None))
    assert np.bincount(labels[five.train]).tolist() == [5, 5, 5]
    assert set(five.train) < set(ten.train) < set(everything.train)
    for other in (ten, everything):
        assert np.array_equal(five.validation, other.validation)
        assert np.array_equal(five.test, other.test)


def test_of_identical_images_one_counts() -> None:
    hashes, labels = data_set(labels=2, images=10)
    twice = split(hashes * 2, np.concatenate([labels, labels]), DEFAULT, seed=0)
    assert np.array_equal(np.concatenate(twice), np.concatenate(split(hashes, labels, DEFAULT, 0)))


def test_content_under_two_labels_is_never_on_both_sides() -> None:
    hashes, labels = data_set(labels=2, images=20)
    hashes[20:24] = hashes[:4]
    for seed in range(20):
        parts: SplitIndices = split(hashes, labels, DEFAULT, seed)
        outside = contents_of(np.concatenate([parts.validation, parts.test]), hashes)
        assert not outside & contents_of(parts.train, hashes)
        assert not contents_of(parts.validation, hashes) & contents_of(parts.test, hashes)


def test_images_per_label_below_one_is_an_error() -> None:
    hashes, labels = data_set(labels=2, images=10)
    with pytest.raises(ValueError, match="images_per_label is 0"):
        split(hashes, labels, DEFAULT, 0, 0)
