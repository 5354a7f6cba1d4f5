"""One finetune, and nothing to choose: rates that are the same, or follow a rule, on every task."""

from collections.abc import Sequence

import numpy as np

from tests.benchmarks.search.lookup import Task
from tests.benchmarks.search.strategies.replay import Replay


def fixed(trial: int) -> Replay:
    """Always the same trial."""
    return lambda task, budget, draw: trial


def best_on_average(others: Sequence[Task], layer: str) -> Replay:
    """The point of a layer that is best on average on other tasks, by their audit splits.

    Args:
        others: Tasks to choose on; all hold the layer.
        layer: Its points are the same on all tasks, or follow the same rule.
    """

    def mean(point: int) -> float:
        return float(np.mean([task.audit[task.of(layer)[point]] for task in others]))

    best = max(range(min(len(task.of(layer)) for task in others)), key=mean)
    return lambda task, budget, draw: task.of(layer)[best]
