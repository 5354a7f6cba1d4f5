"""What a strategy is worth: regret, gain captured, harm, and whether its numbers are honest."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsearch.statistics import mcnemar_p_value, wilson_interval
from tests.benchmarks.search.lookup import BASELINE, Task

RESAMPLES: Final = 2000
HARM: Final = 0.01
"""A loss of accuracy from which on, if it is no chance, a strategy has done harm."""

_CHANCE: Final = 0.05


class Estimate(NamedTuple):
    """A mean over tasks, and its 95 % interval by bootstrap over targets."""

    mean: float
    low: float
    high: float


def bootstrapped(
    tasks: Sequence[Task], numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> Estimate:
    """The ratio of two means, resampled by target, since a target's sources are no two tasks."""
    targets = sorted({task.measured.task for task in tasks})
    rows = {
        name: [i for i, task in enumerate(tasks) if task.measured.task == name] for name in targets
    }
    generator = np.random.default_rng(0)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = generator.choice(len(targets), len(targets))
        chosen = [i for number in drawn for i in rows[targets[number]]]
        ratios.append(numerator[chosen].mean() / denominator[chosen].mean())
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Estimate(float(numerator.mean() / denominator.mean()), float(low), float(high))


def worse_than_baseline(task: Task, trial: int) -> bool:
    """Whether a trial loses more than a point to the baseline, beyond chance, on audit images."""
    ours, theirs = task.audit_right(trial), task.audit_right(BASELINE)
    if trial == BASELINE or theirs is None:
        return False
    if ours is None:
        return True
    lost = float(theirs.mean() - ours.mean())
    p_value = mcnemar_p_value(int((ours & ~theirs).sum()), int((theirs & ~ours).sum()))
    return lost > HARM and p_value < _CHANCE


def optimism_points(task: Task, trial: int) -> float | None:
    """Accuracy on the user's test split minus that on the audit split, in points."""
    reported = task.test_top1(trial)
    return None if reported is None else 100.0 * (reported - float(task.audit[trial]))


def coverage(tasks: Sequence[Task], trials: Sequence[int], draws: int = RESAMPLES) -> float | None:
    """Share of 95 % intervals that hold the audit accuracy, over test sets drawn from the audit.

    Each is of the size that the task's user has, and of 30 images or more, as the product demands;
    None where no audit split allows it.
    """
    generator = np.random.default_rng(0)
    usable = []
    for task, trial in zip(tasks, trials, strict=True):
        right, images = task.audit_right(trial), task.measured.rows[trial]["test_images"]
        if right is not None and images is not None and 30 <= images <= len(right) // 3:
            usable.append((right, images))
    if not usable:
        return None
    held = 0
    for number in range(draws):
        right, images = usable[number % len(usable)]
        interval = wilson_interval(
            int(generator.choice(right, images, replace=False).sum()), images
        )
        held += interval.low <= right.mean() <= interval.high
    return held / draws
