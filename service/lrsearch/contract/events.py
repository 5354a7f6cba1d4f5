"""Events: what happens to a job, in order, as a stream that can be resumed."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from lrsearch.contract.base import Accuracy, Contract, Identifier
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobState
from lrsearch.contract.probes import Probe
from lrsearch.contract.trials import EpochMetrics, TrialState


class TrialStarted(Contract):
    """A worker has taken a trial."""

    type: Literal["trial_started"] = "trial_started"
    trial: int
    attempt: int
    worker: str
    epochs_done: int = Field(
        default=0, ge=0, description="Of earlier attempts: after these it goes on."
    )


class EpochFinished(Contract):
    """A running trial has finished an epoch."""

    type: Literal["epoch_finished"] = "epoch_finished"
    trial: int
    epochs: int = Field(description="Epochs of the recipe.")
    metrics: EpochMetrics


class TrialPutBack(Contract):
    """A trial waits again: its lease expired or was handed back."""

    type: Literal["trial_put_back"] = "trial_put_back"
    trial: int
    reason: str
    epochs_kept: int = Field(
        default=0,
        ge=0,
        description="Epochs that its checkpoint holds; those after it leave its curve, and are run "
        "and told again.",
    )


class TrialFinished(Contract):
    """A trial has ended."""

    type: Literal["trial_finished"] = "trial_finished"
    trial: int
    state: TrialState
    reason: str | None
    val_top1: Accuracy | None
    expected_top1: Accuracy | None = Field(
        default=None,
        description="Of a complete trial under strategy `recommend`: what is expected of its rates "
        "after all trials so far, its own accuracy included; else null.",
    )
    best: bool = Field(description="Whether it is the best of its job so far.")


class ProbeFinished(Contract):
    """The job's task has been probed, or cannot be; the job goes on either way."""

    type: Literal["probe_finished"] = "probe_finished"
    probe: Probe | None = Field(description="Null where it failed.")
    reason: str | None = Field(description="Why it failed.")


class JobChanged(Contract):
    """The user has changed the job; this is what can be changed, as it is from now on."""

    type: Literal["job_changed"] = "job_changed"
    paused: bool
    priority: int
    budget: Budget


class JobFinished(Contract):
    """The job has ended; no event follows."""

    type: Literal["job_finished"] = "job_finished"
    state: JobState
    reason: str | None


EventBody = Annotated[
    TrialStarted
    | EpochFinished
    | TrialPutBack
    | TrialFinished
    | ProbeFinished
    | JobChanged
    | JobFinished,
    Field(discriminator="type"),
]


class Event(Contract):
    """One event of a job."""

    id: int = Field(ge=1, description="Counts up by one within a job; `Last-Event-ID` resumes.")
    job_id: Identifier
    at: datetime
    body: EventBody
