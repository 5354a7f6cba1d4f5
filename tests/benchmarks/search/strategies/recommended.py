"""Ours: by the very decisions that the service takes."""

from collections.abc import Sequence
from dataclasses import replace

from lrsearch.contract.trials import EpochMetrics
from lrsearch.search.elimination import doomed
from lrsearch.search.known import Finetune, KnownTask
from lrsearch.search.prior.acquire import choose
from lrsearch.search.prior.prior import Prior
from lrsearch.search.winner import Contestant, decide
from tests.benchmarks.search.lookup import BASELINE, RECIPE, Task
from tests.benchmarks.search.strategies.replay import FIRST_LOOK, Replay

HALF = RECIPE.epochs // 2
"""Epochs after which a finetune may be stopped."""


def recommended(prior: Prior, layers: Sequence[str]) -> Replay:
    """What the prior recommends, then what it expects to improve most, one after the other.

    A finetune is begun if the budget pays for all of it; at half of its epochs it may have to give
    way to the best so far. The first look is paid for as well, except where the budget is one
    finetune.

    Args:
        prior: Knows nothing of the task's domain.
        layers: Of the table: what is chosen from.
    """

    def replay(task: Task, budget: float, draw: int) -> int:
        left = round((budget - FIRST_LOOK) * RECIPE.epochs) if budget > 1.0 else RECIPE.epochs
        search = Search(prior, task)
        untried = task.of(*layers)
        while untried and left >= RECIPE.epochs:
            left -= search.run(untried.pop(search.next(untried)))
        return search.best

    return replay


class Search:
    """What was tried on a task, and which of it is the best."""

    def __init__(self, prior: Prior, task: Task) -> None:
        self._prior, self._task = prior, task
        self._finetunes = [_finetune(task, BASELINE, "complete")]
        self.best = BASELINE

    def next(self, untried: Sequence[int]) -> int:
        """Index of the trial to run next."""
        rates = [self._task.rates[trial] for trial in untried]
        return choose(self._prior, self._task.features, rates, self._known().lessons)

    def run(self, trial: int) -> int:
        """Runs a trial as far as it is worth it; returns the epochs."""
        rivals = self._finetunes[1:]
        half = _finetune(self._task, trial, "running", HALF)
        if doomed(half, rivals, self._known(half)):
            self._finetunes.append(replace(half, state="pruned"))
            return HALF
        if self._task.diverged(trial):
            self._finetunes.append(_finetune(self._task, trial, "diverged"))
            return RECIPE.epochs
        self._finetunes.append(_finetune(self._task, trial, "complete"))
        one, other = (_contestant(self._task, each) for each in (trial, self.best))
        if decide(one, other, self._known()).leads:
            self.best = trial
        return RECIPE.epochs

    def _known(self, *running: Finetune) -> KnownTask:
        probe = self._task.measured.probe
        return KnownTask(
            prior=self._prior,
            features=self._task.features,
            chance=probe.chance,
            val_images=self._task.val_images,
            epochs=RECIPE.epochs,
            finetunes=[*self._finetunes, *running],
        )


def _finetune(task: Task, trial: int, state: str, epochs: int = RECIPE.epochs) -> Finetune:
    top1 = task.val_top1(trial, epochs)
    curve = [  # of which only the length and the end are looked at
        EpochMetrics(epoch=epoch, train_loss=0.0, val_loss=0.0, val_top1=top1, seconds=0.0)
        for epoch in range(1, epochs + 1)
    ]
    return Finetune(number=trial, rates=task.rates[trial], state=state, val_top1=top1, curve=curve)


def _contestant(task: Task, trial: int) -> Contestant:
    return Contestant(task.rates[trial], task.val_top1(trial), task.val_loss(trial))
