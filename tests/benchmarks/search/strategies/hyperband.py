"""Hyperband and ASHA on the paper's 11 scales, as published, with one worker.

Both stop what is not among the best third of those at the same epoch. What goes on does so from
where it stood, which both papers allow for, and pays for the epochs that it has not had. Both end
by finishing their leader: see `Runs`.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil
from typing import Final, NamedTuple

import numpy as np

from tests.benchmarks.search.lookup import BASELINE, PAPER, RECIPE, Task
from tests.benchmarks.search.strategies.runs import Runs

ETA: Final = 3
"""Of so many, one goes on."""


class Rung(NamedTuple):
    """So many trials are brought to the end of an epoch."""

    trials: int
    epoch: int


def hyperband(task: Task, budget: float, draw: int) -> int:
    """Hyperband (Li et al., 2018): brackets of successive halving, the most trials first.

    The scales of a bracket are drawn without regard to the brackets before it; epochs that one of
    them had there are there already. The budget ends it wherever it is.
    """
    runs, generator = Runs(task, budget), np.random.default_rng(draw)
    for bracket in brackets(RECIPE.epochs):
        alive = generator.permutation(list(PAPER)).tolist()
        before = 0
        for rung in bracket:
            if before:
                alive = _ranked(task, alive, before)
            alive = alive[: rung.trials]
            if not all(runs.run(trial, rung.epoch) for trial in alive):
                return runs.deliver(BASELINE)
            before = rung.epoch
    return runs.deliver(BASELINE)


def brackets(epochs: int, eta: int = ETA) -> list[list[Rung]]:
    """The brackets of Hyperband's Algorithm 1 for a finetune of `epochs`, rounded to whole ones."""
    most = _powers(epochs, eta) - 1
    found = []
    for s in range(most, -1, -1):
        trials = ceil((most + 1) * eta**s / (s + 1))
        found.append([Rung(trials // eta**i, round(epochs / eta ** (s - i))) for i in range(s + 1)])
    return found


def asha(task: Task, budget: float, draw: int) -> int:
    """Asynchronous successive halving (Li et al., 2020) with one worker, from one epoch on.

    Whenever the worker is free it brings the best trial that is among the best third of its rung to
    the next one, from the highest rung on; where there is none it begins a trial. With one worker
    this is not Hyperband's first bracket: nothing waits until a rung is full, so that what came
    early may go on though later ones turn out to be better. Of 11 scales none is among the best
    third at epoch 9, which takes 27, so that only the leader is finished.
    """
    runs = Runs(task, budget)
    waiting = np.random.default_rng(draw).permutation(list(PAPER)).tolist()
    ladder = rungs(RECIPE.epochs)
    while True:
        step = promotion(runs.epochs, task, ladder)
        if step is None and waiting:
            step = waiting.pop(0), ladder[0]
        if step is None or not runs.run(*step):
            return runs.deliver(BASELINE)


def rungs(epochs: int, eta: int = ETA) -> list[int]:
    """Epochs after which trials are compared, and the last."""
    below = [eta**i for i in range(_powers(epochs, eta))]
    return below if below[-1] == epochs else [*below, epochs]


def promotion(
    epochs: Mapping[int, int], task: Task, ladder: Sequence[int], eta: int = ETA
) -> tuple[int, int] | None:
    """The trial that ASHA sends on, and to which epoch; None where no rung has one.

    Args:
        epochs: By trial: how many it has had.
        task: What the trials are of.
        ladder: Epochs of the rungs.
        eta: Of so many on a rung, one goes on.
    """
    for rung, above in reversed(list(pairwise(ladder))):
        there = [trial for trial, epoch in epochs.items() if epoch >= rung]
        for trial in _ranked(task, there, rung)[: len(there) // eta]:
            if epochs[trial] == rung:
                return trial, above
    return None


def _ranked(task: Task, trials: Sequence[int], epoch: int) -> list[int]:
    """The best after `epoch` first."""
    return sorted(trials, key=lambda trial: -task.val_top1(trial, epoch))


def _powers(epochs: int, eta: int) -> int:
    """How many of 1, `eta`, `eta`², … are at most `epochs`."""
    return next(i for i in range(epochs + 1) if eta**i > epochs)
