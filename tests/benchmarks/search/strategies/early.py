"""Strategies that look at early epochs of the paper's scales: one epoch of all, and halving."""

from typing import Final

import numpy as np

from tests.benchmarks.search.lookup import BASELINE, PAPER, RECIPE, Task


def one_epoch(task: Task, budget: float, draw: int) -> int:
    """All 11 scales for one epoch, and the best of them to its end: 11 / 20 + 19 / 20."""
    return task.selected(PAPER, epoch=1)


def halving(task: Task, budget: float, draw: int) -> int:
    """Successive halving: of the scales drawn, the better half goes on at epochs 2, 5 and 10."""
    order = np.random.default_rng(draw).permutation(list(PAPER)).tolist()
    for count in range(len(order), 0, -1):
        if _halving_epochs(count) <= budget * RECIPE.epochs:
            break
    alive = order[:count]
    for rung in _RUNGS:
        if len(alive) > 1:
            kept = (len(alive) + 1) // 2
            ranked = sorted(alive, key=lambda trial: -task.val_top1(trial, rung))
            alive = ranked[:kept]
    return task.selected([BASELINE, *alive])


_RUNGS: Final = (2, 5, 10)


def _halving_epochs(count: int) -> int:
    spent, before = 0, 0
    for rung in (*_RUNGS, RECIPE.epochs):
        spent += count * (rung - before)
        count, before = (count + 1) // 2 if rung != RECIPE.epochs else count, rung
    return spent
