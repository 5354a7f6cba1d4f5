"""Simple classifiers on frozen features, judged by cross-validation."""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS: Final = 5
NEIGHBOURS: Final = 5
REGULARISERS: Final = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Ridge penalties over the number of features (the mean square of a standardised image)."""

Classifier = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""From known features and labels, wanted features and the number of labels to wanted labels."""


def cross_validated_top1(classify: Classifier, features: Tensor, labels: Tensor) -> float | None:
    """Share of images that are right when each of `FOLDS` folds is predicted from the others.

    The folds are stratified: neighbours in the given order are dealt to different folds, so a
    label's images must stand together.

    Args:
        classify: What is judged.
        features: `(images, features)`, float64.
        labels: `(images,)`, int64 from 0, grouped by label; every label occurs.

    Returns:
        `None` where a label has a single image, which cannot be predicted from others.
    """
    sizes = labels.bincount()
    if sizes.min() < 2:
        return None
    fold_of = torch.arange(len(labels)) % FOLDS
    right = 0
    for fold in range(min(FOLDS, len(labels))):
        held_out = fold_of == fold
        known = ~held_out
        guesses = classify(features[known], labels[known], features[held_out], len(sizes))
        right += int((guesses == labels[held_out]).sum())
    return right / len(labels)


def nearest_neighbours(known: Tensor, labels: Tensor, wanted: Tensor, count: int) -> Tensor:
    """The label that the most similar images vote for, each with its cosine similarity.

    As many vote as the scarcest label has images, at most `NEIGHBOURS`.
    """
    voters = min(NEIGHBOURS, int(labels.bincount(minlength=count).min()))
    similarities, who = (F.normalize(wanted) @ F.normalize(known).T).topk(voters)
    votes = F.one_hot(labels, count).to(known.dtype)[who] * similarities.unsqueeze(2)
    return votes.sum(dim=1).argmax(dim=1)


def ridge(known: Tensor, labels: Tensor, wanted: Tensor, count: int) -> Tensor:
    """The label with the highest score by linear regression to 0 and 1, with a penalty.

    Features are standardised by the known images. Of `REGULARISERS`, the one with the smallest
    error when each known image is predicted from all other ones is taken; that error has a closed
    form.
    """
    mean, spread = known.mean(dim=0), known.std(dim=0, correction=0)
    spread = torch.where(spread > 0.0, spread, 1.0)
    x = (known - mean) / spread
    targets = F.one_hot(labels, count).to(known.dtype)
    y = targets - targets.mean(dim=0)
    left, squares, right = _decomposed(x)
    shares = left.T @ y
    best = (torch.inf, torch.empty(0))
    for penalty in REGULARISERS:
        kept = squares / (squares + penalty * x.shape[1])
        influence = (left.square() @ kept) + 1.0 / len(x)  # of an image on its own score
        errors = (y - left @ (kept.unsqueeze(1) * shares)) / (1.0 - influence).unsqueeze(1)
        weights = right @ ((kept / squares.sqrt()).unsqueeze(1) * shares)
        best = min(best, (errors.square().sum().item(), weights), key=lambda pair: pair[0])
    scores = ((wanted - mean) / spread) @ best[1] + targets.mean(dim=0)
    return scores.argmax(dim=1)


def _decomposed(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left vectors, squared singular values and right vectors of `x`, as far as it has rank."""
    wide = x.shape[1] > x.shape[0]
    squares, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    real = squares > 1e-10 * squares[-1].clamp(min=1.0)
    squares, vectors = squares[real], vectors[:, real]
    if wide:
        return vectors, squares, x.T @ vectors / squares.sqrt()
    return x @ vectors / squares.sqrt(), squares, vectors
