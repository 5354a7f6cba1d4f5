"""Quick-Tune: cost-aware Bayesian optimisation over partial curves, taught by other tasks."""

from collections.abc import Sequence
from math import erfc, exp, pi, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch.search.prior.evidence import logit
from lrsearch.search.prior.process import Normal
from tests.benchmarks.search.curves import Curves
from tests.benchmarks.search.lookup import BASELINE, RECIPE, SCALES, Task
from tests.benchmarks.search.strategies.replay import Replay
from tests.benchmarks.search.strategies.runs import Runs

Array = NDArray[np.float64]

POINTS: Final = (BASELINE, *SCALES)


def quick_tune(others: Sequence[Task], ahead: int = 1) -> Replay:
    """Quick-Tune (Arango et al., 2024) on the scales of the graduated layer.

    As there, a predictor that other tasks have taught tells from a task's features and from the
    curves so far what each finetune will reach an epoch later, and what the epoch will cost; the
    finetune with the largest expected improvement per cost is run for an epoch, and so on. The
    improvement is on the best that was seen at that epoch, or at any where none was.

    What differs: the paper's predictor is a Gaussian process on features that neural networks make
    of hyperparameters, curve and task, and is trained on, task by task; here hyperparameters are
    14 points that all tasks share, so that the process is one normal variable whose mean and
    covariance other tasks give (see `Curves`). The predicted cost is the median over other tasks
    of a point's seconds against the task's; there are no pretrained models to choose from; the
    baseline's curve is known from the start, as it is to our own strategy, but it is not among
    what is chosen from, which made this better; the leader is finished: see `Runs`.

    Args:
        others: Tasks to learn from: curves on validation images, and seconds.
        ahead: Epochs, from a finetune's last one on, to the one whose improvement counts (the
            last one at most), divided by what all of them cost. The paper's is 1.
    """
    model = Curves.fit(
        np.array([task.features for task in others]),
        np.array([[_logits(task, point) for point in POINTS] for task in others]),
        [task.measured.domain for task in others],
    )
    costs = _costs(others)

    def replay(task: Task, budget: float, draw: int) -> int:
        runs, belief = Runs(task, budget), _Belief(model.at(task.features))
        belief.learn(BASELINE, 1, _logits(task, BASELINE))

        def worth(point: int) -> float:
            done = runs.epochs.get(point, 0)
            until = min(done + ahead, RECIPE.epochs)
            return belief.improvement(point, until) / (costs[point] * (until - done))

        while left := [p for p in SCALES if runs.epochs.get(p, 0) < RECIPE.epochs]:
            chosen = max(left, key=worth)
            epoch = runs.epochs.get(chosen, 0) + 1
            if not runs.run(chosen, epoch):
                break
            belief.learn(chosen, epoch, _logits(task, chosen, epoch, epoch))
        return runs.deliver()

    return replay


class _Belief:
    """What is known of a task's curves, in logits of accuracy on its validation images."""

    def __init__(self, expected: Normal) -> None:
        self._curves = expected
        self._best = np.full(RECIPE.epochs, -np.inf)

    def learn(self, point: int, epoch: int, seen: Array) -> None:
        """Take note of a point's curve from `epoch` on."""
        places = _place(point, epoch) + np.arange(len(seen))
        self._curves = self._curves.given(places, seen, np.zeros(len(seen)))
        part = slice(epoch - 1, epoch - 1 + len(seen))
        self._best[part] = np.maximum(self._best[part], seen)

    def improvement(self, point: int, epoch: int) -> float:
        """Expected, of a point on the best that was seen after `epoch`."""
        place = _place(point, epoch)
        best = self._best[epoch - 1]
        difference = float(
            self._curves.mean[place] - (best if best > -np.inf else self._best.max())
        )
        deviation = sqrt(max(float(self._curves.covariance[place, place]), 1e-12))
        u = difference / deviation
        normal = exp(-0.5 * u * u) / sqrt(2.0 * pi)
        return 0.5 * difference * erfc(-u / sqrt(2.0)) + deviation * normal


def _place(point: int, epoch: int) -> int:
    return POINTS.index(point) * RECIPE.epochs + epoch - 1


def _logits(task: Task, point: int, first: int = 1, last: int = RECIPE.epochs) -> Array:
    """A point's curve on a task, from one epoch to another."""
    top1 = np.array([task.val_top1(point, epoch) for epoch in range(first, last + 1)])
    images = np.full(len(top1), float(task.val_images))
    return logit(top1 * images, images)[0]


def _costs(others: Sequence[Task]) -> dict[int, float]:
    """What an epoch of each scale costs, in epochs of a task's median scale."""
    seconds = np.array([[task.measured.rows[p]["seconds"] for p in SCALES] for task in others])
    costs = np.median(seconds / np.median(seconds, axis=1, keepdims=True), axis=0)
    return dict(zip(SCALES, costs.tolist(), strict=True))
