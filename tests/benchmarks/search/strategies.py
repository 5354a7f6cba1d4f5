"""Strategies, replayed: which trial each ends with for a budget in finetune-equivalents.

All choose among the baseline, the paper's 11 scales and the two beyond, and by validation alone
where they choose among finished trials. What is fitted to other tasks is fitted to other domains.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from lrsearch.contract.jobs import Strategy
from lrsearch.contract.protocols import PAPER_SCALES, Graduated
from lrsearch.search.prior.acquire import choose
from lrsearch.search.prior.prior import Observation, Prior
from lrsearch.search.proposals import Tried, propose
from tests.benchmarks.search.lookup import BASELINE, PAPER, RECIPE, Task

Replay = Callable[[Task, float, int], int]
"""From a task, a budget in finetune-equivalents and a draw to the trial that it ends with."""

FIRST_LOOK: Final = 0.1
"""Finetune-equivalents of baseline and probe, which all but the fixed scale and random need not."""

_PROTOCOL: Final = Graduated()


def fixed(scale: int) -> Replay:
    """Always the same scale: one finetune, nothing to choose."""
    return lambda task, budget, draw: scale


def best_fixed_scale(others: Sequence[Task]) -> int:
    """The scale that is best on average on other tasks, by their audit splits."""
    trials = range(1, min(len(task.rates) for task in others))
    return max(trials, key=lambda trial: float(np.mean([task.audit[trial] for task in others])))


def exhaustive(task: Task, budget: float, draw: int) -> int:
    """The paper's search: all 11 scales and the frozen baseline, whatever the budget."""
    return task.selected([BASELINE, *PAPER])


def random(task: Task, budget: float, draw: int) -> int:
    """As many scales as the budget pays for, drawn at random."""
    drawn = np.random.default_rng(draw).permutation(list(PAPER))[: int(budget)]
    return task.selected([BASELINE, *drawn.tolist()])


def sampled(strategy: Strategy) -> Replay:
    """One of Optuna's samplers, as the service asks it."""

    def replay(task: Task, budget: float, draw: int) -> int:
        tried: list[int] = []
        for number in range(1, int(budget) + 1):
            known = [
                Tried({"scale": PAPER_SCALES[trial - 1]}, "complete", task.val_top1(trial))
                for trial in tried
            ]
            point = propose(_PROTOCOL, strategy, known, draw, number)
            if point is None:
                break
            tried.append(1 + PAPER_SCALES.index(float(point["scale"])))
        return task.selected([BASELINE, *tried])

    return replay


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


def recommended(prior: Prior, candidates: Sequence[int] | None = None) -> Replay:
    """Ours: what the prior recommends, then what it expects to improve most; chosen by belief."""

    def replay(task: Task, budget: float, draw: int) -> int:
        places = [i for i in range(len(task.rates)) if candidates is None or i in candidates]
        tried = [BASELINE]
        for _ in range(int(budget)):
            left = [place for place in places if place not in tried]
            seen = [_observed(task, trial) for trial in tried]
            index = choose(prior, task.features, [task.rates[place] for place in left], seen)
            tried.append(left[index])
        seen = [_observed(task, trial) for trial in tried]
        shares = prior.believe(task.features, [task.rates[trial] for trial in tried], seen).shares()
        return tried[int(shares.argmax())]

    return replay


def _observed(task: Task, trial: int) -> Observation:
    return Observation(task.rates[trial], task.val_top1(trial), task.val_images)
