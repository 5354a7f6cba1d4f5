"""How far a job is, as told by its events."""

from dataclasses import dataclass, replace
from datetime import datetime

from lrsearch.contract.events import (
    EpochFinished,
    Event,
    JobChanged,
    JobFinished,
    ProbeFinished,
    TrialFinished,
    TrialPutBack,
    TrialStarted,
)
from lrsearch.contract.jobs import Job, JobState
from lrsearch.contract.probes import Probe


@dataclass(frozen=True)
class RunningTrial:
    """A trial under way."""

    number: int
    worker: str
    epoch: int = 0
    val_top1: float | None = None


class JobProgress:
    """The state of a job, kept up to date by `apply`.

    Time left is estimated from the pace of the epochs so far, the baseline's left out: it trains
    on stored features, and its epochs take next to no time.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.state: JobState = "waiting"
        self.reason = job.reason
        self.running: dict[int, RunningTrial] = {}
        self.finished: dict[int, TrialFinished] = {}
        self.best: TrialFinished | None = None
        self.probe: Probe | None = None
        self.last_event = 0
        self.trials = job.trials_planned
        """Trials planned, the baseline included; null where nothing tells."""
        self._searching_since: datetime | None = None
        self._now = job.created_at

    def apply(self, event: Event) -> None:
        """Takes the next event in."""
        self.last_event = event.id
        self._now = event.at
        match event.body:
            case TrialStarted() as body:
                self.state, self.reason = "running", None
                self.running[body.trial] = RunningTrial(body.trial, body.worker, body.epochs_done)
                if self.trials is not None:  # the confirmation comes unplanned
                    self.trials = max(self.trials, body.trial + 1)
                if body.trial != 0 and self._searching_since is None:
                    self._searching_since = event.at
            case EpochFinished() as body:
                trial = self.running.get(body.trial) or RunningTrial(body.trial, "")
                self.running[body.trial] = replace(
                    trial, epoch=body.metrics.epoch, val_top1=body.metrics.val_top1
                )
            case TrialPutBack() as body:
                self.running.pop(body.trial, None)
            case TrialFinished() as body:
                self.running.pop(body.trial, None)
                self.finished[body.trial] = body
                self.best = body if body.best else self.best
                if self.trials is not None and len(self.finished) >= self.trials:
                    self.state = "finalising"
            case ProbeFinished() as body:
                self.probe = body.probe
            case JobChanged() as body:
                self.reason = "paused" if body.paused else None
            case JobFinished() as body:
                self.state, self.reason = body.state, body.reason
                self.running.clear()

    @property
    def epochs(self) -> int:
        """Epochs of the recipe."""
        return self.job.request.recipe.epochs

    @property
    def share(self) -> float | None:
        """Share of the planned epochs that is done, in [0, 1]; null where no plan is known."""
        total = self._epochs_planned
        return None if total is None else min(self._epochs_done / total, 1.0) if total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated time to the end of the last trial; null while there is nothing to go by."""
        total, done = self._epochs_planned, self._epochs_done
        if total is None or self._searching_since is None or done == 0:
            return None
        elapsed = (self._now - self._searching_since).total_seconds()
        return max(total - done, 0) * elapsed / done

    @property
    def _epochs_planned(self) -> int | None:
        return None if self.trials is None else (self.trials - 1) * self.epochs

    @property
    def _epochs_done(self) -> int:
        ended = sum(number != 0 for number in self.finished)
        under_way = sum(trial.epoch for trial in self.running.values() if trial.number != 0)
        return ended * self.epochs + under_way
