"""Trials: finetunes under the service's directives and the budget's clock."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Literal, NamedTuple

import structlog

from lrsearch.contract.leases import TrialReport, TrialWork
from lrsearch.contract.sources import Card
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.courier import Saver
from lrsearch_worker.device import out_of_memory
from lrsearch_worker.engine.checkpoints import CheckpointError, Progress
from lrsearch_worker.engine.finetune import DivergedError, Finetune, TooLittleMemoryError
from lrsearch_worker.engine.lockstep import side_by_side
from lrsearch_worker.engine.shares import Shares
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.errors import LeaseLostError, StoppedError
from lrsearch_worker.heart import Heart

REASON_LENGTH = 2000
"""Characters that a report's reason may have."""

EarlyOutcome = Literal["pruned", "cancelled"]

Observer = Callable[[TrialWork, Finetune, EpochMetrics], None]
"""Sees a finetune after each of its epochs, in evaluation mode; it must change nothing."""

log = structlog.get_logger(__name__)


class Outcome(NamedTuple):
    """What came of a trial."""

    report: TrialReport
    """Without the weights' hash."""
    weights: bytes | None = None
    """A safetensors file, where the trial is complete."""
    out_of_memory: bool = False
    """Whether it failed for too little memory."""


def run_trials(
    works: Sequence[TrialWork],
    task: LoadedTask,
    cards: Sequence[Card],
    savers: Sequence[Saver],
    heart: Heart,
    threads: int,
    observer: Observer | None = None,
) -> Generator[tuple[TrialWork, Outcome], None, None]:
    """Finetune side by side, each until the recipe's end, or until something ends it before.

    Whatever goes wrong in a finetune is its report's outcome; nothing of it is raised. One for
    which memory did not suffice beside others is tried again alone.

    Args:
        works: What to try.
        task: What the job's trials have in common.
        cards: Go with the weights.
        savers: Know where earlier attempts got to, and take checkpoints.
        heart: Is told of every epoch, and says when to stop.
        threads: Trials that compute at a time.
        observer: Is shown the finetunes.

    Yields:
        A trial that has ended, and what came of it.

    Raises:
        LeaseLostError: There is no use in going on.
        StoppedError: The worker is to stop.
    """
    shares = Shares(len(works))
    runs = [
        _Run(work, task, card, saver, heart, shares.clock(i), observer).steps()
        for i, (work, card, saver) in enumerate(zip(works, cards, savers, strict=True))
    ]
    too_large = []
    with closing(side_by_side(runs, threads, shares)) as outcomes:
        for i, outcome in outcomes:
            if outcome.out_of_memory and len(works) > 1:
                log.warning("too little memory beside others", trial=works[i].number)
                too_large.append((works[i], cards[i], savers[i]))
            else:
                yield works[i], outcome
    for work, card, saver in too_large:
        yield from run_trials([work], task, [card], [saver], heart, threads, observer)


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
    def __init__(
        self,
        work: TrialWork,
        task: LoadedTask,
        card: Card,
        saver: Saver,
        heart: Heart,
        clock: Callable[[], float],
        observer: Observer | None,
    ) -> None:
        self._work = work
        self._task = task
        self._card = card
        self._saver = saver
        self._heart = heart
        self._clock = clock
        self._observer = observer
        self._seconds_before = 0.0
        self._curve: list[EpochMetrics] = []
        self._log = log.bind(trial=work.number)

    def steps(self) -> Generator[None, None, Outcome]:
        """Yields after each step of the optimiser."""
        rates = dict(self._work.rates.items())
        self._log.info("trial started", baseline=self._work.baseline, rates=rates)
        with self._saver:
            outcome = yield from self._outcome()
        report = outcome.report
        self._log.info(
            "trial finished",
            outcome=report.outcome,
            reason=report.reason,
            val_top1=round(self._curve[-1].val_top1, 4) if self._curve else None,
            seconds=round(report.seconds, 2),
        )
        return outcome

    def _outcome(self) -> Generator[None, None, Outcome]:
        try:
            weights = yield from self._finetune()
        except (LeaseLostError, StoppedError):
            raise
        except _EndedError as end:
            return self._ended(end.outcome, end.reason)
        except DivergedError as error:
            return self._ended("diverged", str(error))
        except TooLittleMemoryError as error:
            return self._ended("failed", str(error), out_of_memory=True)
        except Exception as error:
            self._log.exception("trial broke down")
            return self._ended("failed", reason_of(error), out_of_memory=out_of_memory(error))
        return self._ended("complete", None)._replace(weights=weights)

    def _finetune(self) -> Generator[None, None, bytes]:
        self._check()
        finetune = Finetune(self._task, self._work.rates, clock=self._clock)
        if self._saver.progress is not None:
            self._go_on(finetune, self._saver.progress)
        for metrics in finetune.steps():
            if metrics is not None:
                self._tell(metrics)
                if self._observer is not None:
                    self._observer(self._work, finetune, metrics)
            if len(self._curve) < self._task.recipe.epochs:
                between = metrics is not None
                self._check(max(epoch.seconds for epoch in self._curve) if between else 0.0)
                if between:
                    self._saver.between_epochs(self._curve, self._seconds(), finetune.state)
            yield
        return finetune.result(self._card)

    def _go_on(self, finetune: Finetune, progress: Progress) -> None:
        try:
            finetune.resume(progress.training)
        except CheckpointError as error:
            self._log.warning("checkpoint not used; the trial begins anew", reason=str(error))
            return
        self._curve += progress.curve
        self._seconds_before = progress.seconds
        for metrics in progress.curve:  # the service may not have heard of all of them
            self._heart.beat(self._work.id, metrics)
        self._log.info(
            "trial resumed", epochs=len(progress.curve), seconds=round(progress.seconds, 2)
        )

    def _tell(self, metrics: EpochMetrics) -> None:
        self._curve.append(metrics)
        self._heart.beat(self._work.id, metrics)
        self._log.info(
            "epoch",
            epoch=metrics.epoch,
            epochs=self._task.recipe.epochs,
            val_top1=round(metrics.val_top1, 4),
            train_loss=round(metrics.train_loss, 4),
            seconds=round(metrics.seconds, 2),
        )

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
        self,
        outcome: Literal["complete", "diverged", "failed"] | EarlyOutcome,
        reason: str | None,
        out_of_memory: bool = False,
    ) -> Outcome:
        report = TrialReport(
            outcome=outcome,
            reason=reason and reason[:REASON_LENGTH],
            curve=self._curve,
            seconds=self._seconds(),
        )
        return Outcome(report, out_of_memory=out_of_memory)

    def _seconds(self) -> float:
        """Spent on the trial until now, by the attempts before up to their checkpoint too."""
        return self._seconds_before + self._clock()
