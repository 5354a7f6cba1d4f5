"""One trial: a finetune under the service's directives and the budget's clock."""

from time import perf_counter
from typing import Literal, NamedTuple

import structlog

from lrsearch.contract.leases import TrialReport, TrialWork
from lrsearch.contract.sources import Card
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.device import out_of_memory
from lrsearch_worker.errors import LeaseLostError, StoppedError
from lrsearch_worker.finetune import DivergedError, Finetune, TooLittleMemoryError
from lrsearch_worker.heart import Heart
from lrsearch_worker.task import LoadedTask

REASON_LENGTH = 2000
"""Characters that a report's reason may have."""

EarlyOutcome = Literal["pruned", "cancelled"]

log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """What came of a trial."""

    report: TrialReport
    """Without the weights' hash."""
    weights: bytes | None
    """A safetensors file, where the trial is complete."""


def run_trial(work: TrialWork, task: LoadedTask, card: Card, heart: Heart) -> Outcome:
    """Finetune until the recipe's end, or until something ends it before.

    Whatever goes wrong in the finetune is the report's outcome; nothing of it is raised.

    Args:
        work: What to try.
        task: What the job's trials have in common.
        card: Goes with the weights.
        heart: Is told of every epoch, and says when to stop.

    Raises:
        LeaseLostError: There is no use in going on.
        StoppedError: The worker is to stop.
    """
    return _Run(work, task, card, heart).outcome()


def reason_of(error: BaseException) -> str:
    """What is said of an unexpected error in a report."""
    if out_of_memory(error):
        return f"out of memory: {error}"[:REASON_LENGTH]
    return f"{type(error).__name__}: {error}"[:REASON_LENGTH]


class _EndedError(Exception):
    """The trial is to end before its last epoch."""

    def __init__(self, outcome: EarlyOutcome, reason: str | None) -> None:
        self.outcome = outcome
        self.reason = reason


class _Run:
    def __init__(self, work: TrialWork, task: LoadedTask, card: Card, heart: Heart) -> None:
        self._work = work
        self._task = task
        self._card = card
        self._heart = heart
        self._curve: list[EpochMetrics] = []
        self._started = perf_counter()

    def outcome(self) -> Outcome:
        try:
            weights = self._finetune()
        except (LeaseLostError, StoppedError):
            raise
        except _EndedError as end:
            return self._ended(end.outcome, end.reason)
        except DivergedError as error:
            return self._ended("diverged", str(error))
        except TooLittleMemoryError as error:
            return self._ended("failed", str(error))
        except Exception as error:
            log.exception("trial broke down")
            return self._ended("failed", reason_of(error))
        return Outcome(self._ended("complete", None).report, weights)

    def _finetune(self) -> bytes:
        finetune = Finetune(self._task, self._work.rates)
        for metrics in finetune.epochs(check=self._check):
            self._curve.append(metrics)
            self._heart.beat(self._work.id, metrics)
            log.info(
                "epoch",
                epoch=metrics.epoch,
                epochs=self._task.recipe.epochs,
                val_top1=round(metrics.val_top1, 4),
                train_loss=round(metrics.train_loss, 4),
                seconds=round(metrics.seconds, 2),
            )
            if metrics.epoch < self._task.recipe.epochs:
                self._check(max(epoch.seconds for epoch in self._curve))
        return finetune.checkpoint(self._card)

    def _check(self, next_seconds: float = 0.0) -> None:
        """Look whether to go on for another `next_seconds`."""
        self._heart.check()
        directive = self._heart.directive(self._work.id)
        if directive == "cancel":
            raise _EndedError("cancelled", "the service cancelled it")
        if directive == "prune":
            raise _EndedError("pruned", None)  # the service knows why
        limit, spent = self._work.seconds_limit, self._seconds()
        if limit is not None and spent + next_seconds > limit:
            raise _EndedError(
                "pruned",
                f"the budget left it {limit:.1f} s: {spent:.1f} s were spent after "
                f"{len(self._curve)} of {self._task.recipe.epochs} epochs"
                + (f", and another may take {next_seconds:.1f} s" if next_seconds else ""),
            )

    def _ended(
        self, outcome: Literal["complete", "diverged", "failed"] | EarlyOutcome, reason: str | None
    ) -> Outcome:
        report = TrialReport(
            outcome=outcome,
            reason=reason and reason[:REASON_LENGTH],
            curve=self._curve,
            seconds=self._seconds(),
        )
        return Outcome(report, None)

    def _seconds(self) -> float:
        return perf_counter() - self._started
