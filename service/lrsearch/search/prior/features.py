"""Features of a task, in the order in which the prior knows them.

They are of the task as a whole: how many images and steps there are, and how the source network
takes to it. No stage's rate is derived from that stage's own figures; the two gradient ratios tell
only how far the whole network is from where it is to go.
"""

from collections.abc import Sequence
from math import ceil, log2
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch.contract.probes import Probe
from lrsearch.contract.recipes import Recipe

Vector = NDArray[np.float64]

FEATURES: Final = (
    "images per label",
    "labels",
    "steps",
    "linear accuracy",
    "head loss",
    "late gradient",
    "early gradient",
)
"""Names, for people."""

_SMALLEST: Final = 1e-6


def task_features(probe: Probe, recipe: Recipe) -> Vector:
    """The features of a task, shape `(len(FEATURES),)`.

    In this order, logarithms being of base 2: log of the median number of training images per
    label; log of the number of labels; log of the number of optimiser steps of a finetune; accuracy
    of the probe's linear classifier (or nearest neighbours) above chance, 1 at best, 0 where there
    is none; log of how far the baseline's head brings the training loss, last over first; logs of
    the gradient/weight ratios of `conv5` and of `conv1`.
    """
    top1 = probe.linear_top1 if probe.linear_top1 is not None else probe.knn_top1
    steps = recipe.epochs * ceil(probe.images / recipe.batch_size)
    return np.array(
        [
            log2(max(probe.images_per_label.median, 1.0)),
            log2(probe.labels),
            log2(steps),
            _above_chance(top1, probe.chance),
            _fall(probe.head_losses),
            _log(probe.gradient_ratios.conv5),
            _log(probe.gradient_ratios.conv1),
        ]
    )


def typical_features(known: Vector) -> Vector:
    """The features of a task that could not be probed: the means over the evidence's tasks.

    Args:
        known: Features of the evidence, shape `(tasks, len(FEATURES))`.
    """
    return np.asarray(known.mean(axis=0), np.float64)


def _above_chance(top1: float | None, chance: float) -> float:
    if top1 is None or chance >= 1.0:
        return 0.0
    return (top1 - chance) / (1.0 - chance)


def _fall(losses: Sequence[float]) -> float:
    if not losses:
        return 0.0
    return _log(losses[-1]) - _log(losses[0])


def _log(value: float | None) -> float:
    return log2(max(value or 0.0, _SMALLEST))
