"""Which images train, which validate and which test."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsearch.contract.recipes import Splits
from lrsearch.contract.splits import split_sizes

SplitName = Literal["train", "validation", "test"]

Indices = NDArray[np.int64]


class SplitIndices(NamedTuple):
    """Indices of images, grouped by label; no content is in two splits, nor twice in one."""

    train: Indices
    validation: Indices
    test: Indices


def split(
    hashes: Sequence[str],
    labels: NDArray[np.int64],
    splits: Splits,
    seed: int,
    images_per_label: int | None = None,
) -> SplitIndices:
    """Cut each label's images into test, validation and training, in this order.

    A label's images stand in an order that depends on nothing but `seed` and their contents: not
    on file names, not on the machine. Test and validation are the first of them, of the sizes of
    `lrsearch.contract.splits.split_sizes`; training takes the first `images_per_label` of the
    rest (or all of them), so that its subsets are nested.

    Of images with the same content under one label, one counts and the others are left out.
    Content that stands under several labels comes last in each, so that it trains and cannot be
    on both sides.

    Args:
        hashes: SHA-256 of each image's content.
        labels: Label of each image, from 0, shape `(images,)`.
        splits: Shares that validate and test.
        seed: Of the order.
        images_per_label: Training images a label, at least 1; `None` takes all there are.

    Raises:
        ValueError: A label has too few images, or `images_per_label` is below 1.
    """
    if images_per_label is not None and images_per_label < 1:
        raise ValueError(f"images_per_label is {images_per_label}; it must be at least 1, or null")
    labels_of: defaultdict[str, set[int]] = defaultdict(set)
    image_of: dict[tuple[int, str], int] = {}
    for i, (content, label) in enumerate(zip(hashes, labels.tolist(), strict=True)):
        labels_of[content].add(label)
        image_of.setdefault((label, content), i)

    def place(content: str) -> tuple[bool, bytes]:
        ambiguous = len(labels_of[content]) > 1
        return ambiguous, hashlib.sha256(f"{seed}\0{content}".encode()).digest()

    contents: defaultdict[int, list[str]] = defaultdict(list)
    for label, content in image_of:
        contents[label].append(content)
    train: list[int] = []
    validation: list[int] = []
    test: list[int] = []
    for label in sorted(contents):
        ordered = [image_of[label, c] for c in sorted(contents[label], key=place)]
        sizes = split_sizes(len(ordered), splits)
        cut = sizes.test + sizes.validation
        test += ordered[: sizes.test]
        validation += ordered[sizes.test : cut]
        train += ordered[cut:][:images_per_label]
    return SplitIndices(*(np.array(part, dtype=np.int64) for part in (train, validation, test)))
