"""Trials: one finetune each, with given stage rates."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from lrsearch.contract.base import Accuracy, Contract, Identifier, Seconds
from lrsearch.contract.protocols import Point
from lrsearch.contract.rates import StageRates
from lrsearch.contract.reasons import ReasonCode

TrialState = Literal[
    "waiting",  # for a worker, for the first time or again after a lost lease
    "running",  # under a lease
    "complete",  # ran all its epochs
    "pruned",  # stopped early: its curve was poor, or its seconds were spent
    "diverged",  # the loss became infinite or NaN
    "failed",  # could not be run; the reason says why
    "cancelled",  # by the user, or the job's target was reached first
]

FINISHED: Final[frozenset[TrialState]] = frozenset(
    {"complete", "pruned", "diverged", "failed", "cancelled"}
)

Loss = Annotated[float, Field(allow_inf_nan=False)]


class EpochMetrics(Contract):
    """What one epoch of one trial gave."""

    epoch: int = Field(ge=1, description="Counted from 1.")
    train_loss: Loss = Field(description="Mean cross-entropy over the epoch's training batches.")
    val_loss: Loss = Field(description="Mean cross-entropy on the validation split.")
    val_top1: Accuracy = Field(description="Top-1 accuracy on the validation split.")
    seconds: Seconds = Field(description="Wall-clock seconds, evaluation included.")


class Trial(Contract):
    """One finetune, and what came of it."""

    id: Identifier
    job_id: Identifier
    number: int = Field(ge=0, description="Position in the job; 0 is the baseline.")
    baseline: bool = Field(description="IL = 0, LL = 0.01: the usual practice of a frozen network.")
    replicate: int = Field(
        default=0,
        ge=0,
        description="0; or 1 for the confirmation: the winner's rates again, with a second seed. "
        "It cannot win, and the search does not see it.",
    )
    point: Point = Field(
        description="The protocol's values; empty for a baseline that its grid does not hold."
    )
    rates: StageRates
    state: TrialState
    reason: str | None = Field(
        description="What it waits for, where it runs, or why it was pruned, diverged or failed."
    )
    reason_code: ReasonCode | None = Field(
        default=None, description="The same for programs; null exactly once the trial is over."
    )
    attempts: int = Field(ge=0, description="Leases that it has had.")
    worker: str | None = Field(description="Name of the worker that has or had it last.")
    expected_top1: Accuracy | None = Field(
        default=None,
        description="Accuracy that was expected of its rates when strategy `recommend` proposed "
        "them; null under other strategies, as are the next three.",
    )
    expected_deviation: float | None = Field(
        default=None, ge=0.0, description="Standard deviation of `expected_top1`, in [0, 1]."
    )
    expected_gain_points: float | None = Field(
        default=None,
        description="Accuracy expected then minus the baseline's, in percentage points.",
    )
    expected_gain_deviation_points: float | None = Field(
        default=None,
        ge=0.0,
        description="Standard deviation of `expected_gain_points`, in percentage points.",
    )
    val_top1: Accuracy | None = Field(description="The last epoch's, of a complete trial.")
    val_loss: float | None = Field(description="The last epoch's, of a complete trial.")
    curve: list[EpochMetrics] = Field(
        description="One entry an epoch: of the last attempt, and of the ones before it up to the "
        "checkpoint that it went on from."
    )
    seconds: float = Field(
        ge=0.0, description="Worker seconds that the curve took; what attempts lost is left out."
    )
    started_at: datetime | None
    finished_at: datetime | None
