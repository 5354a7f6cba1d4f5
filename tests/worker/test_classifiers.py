"""Classifiers on frozen features, against their definitions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lrsearch_worker.data.images import Images
from lrsearch_worker.engine.classifiers import (
    REGULARISERS,
    Classifier,
    cross_validated_top1,
    nearest_neighbours,
    ridge,
)

LABELS = 3


def pixels_of(images: Images, stride: int) -> tuple[Tensor, Tensor]:
    """Every so many pixels of each image as features, and labels."""
    flat = torch.from_numpy(images.pixels.reshape(len(images.labels), -1)[:, ::stride].copy())
    return flat.double(), torch.from_numpy(images.labels)


def test_every_image_is_predicted_once_from_the_other_folds(three_animals: Images) -> None:
    _, labels = pixels_of(three_animals, 7)
    numbers = torch.arange(len(labels), dtype=torch.float64).unsqueeze(1)
    predicted: list[int] = []

    def classify(known: Tensor, of_known: Tensor, wanted: Tensor, count: int) -> Tensor:
        held_out = [int(number) for number in wanted]
        assert not set(held_out) & {int(number) for number in known}
        assert len(known) + len(wanted) == len(labels)
        shares = torch.tensor([int((labels[wanted.long()] == i).sum()) for i in range(count)])
        assert shares.tolist() == [4, 4, 4]
        predicted.extend(held_out)
        return torch.zeros(len(wanted), dtype=torch.int64)

    assert cross_validated_top1(classify, numbers, labels) == pytest.approx(1 / 3)
    assert sorted(predicted) == list(range(60))


@pytest.mark.parametrize("classify", [nearest_neighbours, ridge])
def test_a_label_with_two_images_is_predicted_and_one_with_a_single_image_is_not(
    three_animals: Images, classify: Classifier
) -> None:
    features, labels = pixels_of(three_animals, 7)
    for images, known in ((1, False), (2, True)):
        kept = torch.cat([torch.arange(20), torch.arange(20, 20 + images), torch.arange(40, 60)])
        top1 = cross_validated_top1(classify, features[kept], labels[kept])
        assert (top1 is not None) == known


@pytest.mark.parametrize("classify", [nearest_neighbours, ridge])
def test_pixels_tell_the_animals_apart_and_shuffled_ones_do_not(
    three_animals: Images, classify: Classifier
) -> None:
    features, labels = pixels_of(three_animals, 1)
    shuffled = features[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    own = cross_validated_top1(classify, features, labels)
    others = cross_validated_top1(classify, shuffled, labels)
    assert own is not None
    assert others is not None
    assert own > 0.55 > others


@pytest.mark.parametrize("classify", [nearest_neighbours, ridge])
def test_features_that_do_not_differ_tell_nothing(classify: Classifier) -> None:
    labels = torch.arange(LABELS).repeat_interleave(5)
    same = torch.ones(15, 4, dtype=torch.float64)
    assert cross_validated_top1(classify, same, labels) == pytest.approx(1 / 3)


@pytest.mark.parametrize("stride", [1, 40])  # more features than images, and fewer
def test_ridge_takes_the_penalty_that_predicts_left_out_images_best(
    three_animals: Images, stride: int
) -> None:
    features, labels = pixels_of(three_animals, stride)
    known, wanted = features[::2], features[1::2]
    guesses = ridge(known, labels[::2], wanted, LABELS)

    mean, spread = known.mean(dim=0), known.std(dim=0, correction=0)
    spread[spread == 0.0] = 1.0
    x, y = (known - mean) / spread, F.one_hot(labels[::2], LABELS).double()
    errors = []
    for penalty in REGULARISERS:
        error = 0.0
        for left_out in range(len(x)):
            others = torch.arange(len(x)) != left_out
            score = fitted(x[others], y[others], x[left_out : left_out + 1], penalty)
            error += float((score - y[left_out]).square().sum())
        errors.append(error)
    best = REGULARISERS[errors.index(min(errors))]
    scores = fitted(x, y, (wanted - mean) / spread, best)
    assert guesses.tolist() == scores.argmax(dim=1).tolist()


def fitted(x: Tensor, y: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    """Scores by linear regression with an intercept that has no penalty."""
    centre, level = x.mean(dim=0), y.mean(dim=0)
    x, y = x - centre, y - level
    square = x.T @ x + penalty * x.shape[1] * torch.eye(x.shape[1], dtype=x.dtype)
    return (wanted - centre) @ torch.linalg.solve(square, x.T @ y) + level


def test_the_nearest_images_vote_with_their_similarity() -> None:
    known = torch.tensor([[1.0, 0.0], [2.0, 0.2], [0.0, 3.0], [0.1, 1.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    wanted = torch.tensor([[9.0, 1.0], [0.0, 0.1], [1.0, 0.9]], dtype=torch.float64)
    assert nearest_neighbours(known, labels, wanted, 2).tolist() == [0, 1, 0]
