"""Leases: what a worker and the service say to each other.

A worker claims a lease, sends heartbeats while it runs the lease's work, reports each piece once,
and may hand back what it has not finished. Every message after the claim carries the lease's token.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import Accuracy, Contract, Identifier, Seconds, Sha256
from lrsearch.contract.logs import MAX_LINES, LogLine, WorkLog
from lrsearch.contract.probes import Probe
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.sources import SourceModel
from lrsearch.contract.trials import EpochMetrics

LEASE_TOKEN_HEADER = "Lease-Token"  # noqa: S105 - a header's name, no secret


class Claim(Contract):
    """A worker's request for work; answered at once, or when there is some, or with 204."""

    worker_id: Identifier
    max_trials: int = Field(default=1, ge=1, le=64, description="Trials of one job it can take.")
    wait_seconds: float = Field(
        default=20.0, ge=0.0, le=60.0, description="How long to wait for work before a 204."
    )
    holds: list[Identifier] | None = Field(
        default=None,
        max_length=64,
        description="Leases that the worker knows that it has. Another one of its leases, given to "
        "a claim whose reply got lost on the way, is handed back; null: none is, before it "
        "expires.",
    )


class Checkpoint(Contract):
    """Where an earlier attempt at a trial got to; the lease's holder may fetch it."""

    in_query = True

    sha256: Sha256 = Field(description="Of the file.")
    epochs: int = Field(ge=1, description="Epochs that were run by then.")


class TrialWork(Contract):
    """Finetune with these rates."""

    kind: Literal["trial"] = "trial"
    id: Identifier = Field(description="Of this piece of work; the trial's id.")
    number: int = Field(ge=0, description="The trial's number; 0 is the baseline.")
    baseline: bool
    replicate: int = Field(
        default=0,
        ge=0,
        description="Draws another head, order and views from the recipe's seed; the splits stay.",
    )
    rates: StageRates
    seconds_limit: float | None = Field(
        description="Stop and report `pruned` before this many seconds, those of the checkpoint "
        "included; null: no limit."
    )
    checkpoint: Checkpoint | None = Field(
        default=None,
        description="Go on from there; a worker that cannot begins with the first epoch.",
    )


class ProbeWork(Contract):
    """Look at the job's task: a probe."""

    kind: Literal["probe"] = "probe"
    id: Identifier


class FinalWork(Contract):
    """Score the stored winner and baseline on the test split, once."""

    kind: Literal["final"] = "final"
    id: Identifier
    winner_weights: Sha256
    baseline_weights: Sha256 | None = Field(description="Null where the baseline failed.")


class CheckModelWork(Contract):
    """Load a registered model's weights into their network and say whether they fit."""

    kind: Literal["check_model"] = "check_model"
    id: Identifier
    source_model: SourceModel


Work = Annotated[TrialWork | ProbeWork | FinalWork | CheckModelWork, Field(discriminator="kind")]


class Task(Contract):
    """What all the trials of a job have in common: everything but their rates."""

    job_id: Identifier
    data_set_id: Identifier
    fingerprint: Sha256 = Field(description="Of the data set: the key of a worker's cache.")
    source_model: SourceModel
    images_per_label: int | None
    recipe: Recipe


class Lease(Contract):
    """A worker's time-limited right to run some work."""

    id: Identifier
    token: str = Field(description="Goes with every later message, in the header `Lease-Token`.")
    lease_seconds: float = Field(gt=0.0, description="It expires so long after the last heartbeat.")
    heartbeat_seconds: float = Field(gt=0.0, description="Send a heartbeat at least this often.")
    task: Task | None = Field(description="Null for work that belongs to no job.")
    work: list[Work] = Field(description="To be done in this order, the trials side by side.")


class Epoch(Contract):
    """An epoch that one of the lease's trials finished."""

    work_id: Identifier
    metrics: EpochMetrics


class Heartbeat(Contract):
    """A sign of life, with what has happened since the last one."""

    epochs: list[Epoch] = Field(default_factory=list, max_length=100_000)
    logs: list[WorkLog] = Field(
        default_factory=list, max_length=64, description="What was logged of the lease's trials."
    )


Directive = Literal["continue", "prune", "cancel", "pause"]
"""`pause` says: hand the whole lease back at once; another claim goes on from the checkpoints."""


class HeartbeatReply(Contract):
    """The control channel: what the worker must do with each piece of work."""

    directives: dict[Identifier, Directive] = Field(description="By work id.")
    val_top1_to_beat: Accuracy | None = Field(
        description="The job's best so far; weights of a lower accuracy need not be uploaded. "
        "Null: those of every complete trial are wanted."
    )


class TrialReport(Contract):
    """What came of a trial. `complete` needs every epoch of the recipe in its curve."""

    kind: Literal["trial"] = "trial"
    outcome: Literal["complete", "pruned", "diverged", "failed", "cancelled"]
    reason: str | None = Field(default=None, max_length=2000)
    curve: list[EpochMetrics] = Field(
        max_length=1000, description="From epoch 1 on, those of the checkpoint included."
    )
    seconds: Seconds = Field(
        description="Wall-clock seconds, those of the checkpoint included, data preparation left "
        "out."
    )
    weights_sha256: Sha256 | None = Field(
        default=None, description="Of the weights uploaded under this lease for this trial."
    )
    log: list[LogLine] = Field(
        default_factory=list, max_length=MAX_LINES, description="What was logged of it at last."
    )


class ProbeReport(Contract):
    """What a probe has found."""

    kind: Literal["probe"] = "probe"
    probe: Probe


class TestScore(Contract):
    """Accuracy of some weights on a test split."""

    __test__ = False  # not a test case, whatever its name

    images: int = Field(ge=1)
    correct: int = Field(ge=0)
    loss: float

    @model_validator(mode="after")
    def _correct_up_to_images(self) -> Self:
        if self.correct > self.images:
            raise ValueError(f"correct {self.correct} is more than the {self.images} images")
        return self


class FinalReport(Contract):
    """How winner and baseline did on the test split; all null where the test split is empty."""

    kind: Literal["final"] = "final"
    winner: TestScore | None
    baseline: TestScore | None
    only_winner_correct: int = Field(
        default=0, ge=0, description="Test images that the winner alone has right (for McNemar)."
    )
    only_baseline_correct: int = Field(
        default=0, ge=0, description="Test images that the baseline alone has right."
    )
    seconds: Seconds

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        """Both are of the same images, and what one alone has right explains the difference."""
        if self.winner is None or self.baseline is None:
            return self
        if self.winner.images != self.baseline.images:
            raise ValueError("winner and baseline must be scored on the same images")
        gain = self.winner.correct - self.baseline.correct
        if (
            self.only_winner_correct - self.only_baseline_correct != gain
            or self.only_winner_correct > self.winner.correct
            or self.only_baseline_correct > self.baseline.correct
        ):
            raise ValueError(
                f"only_winner_correct {self.only_winner_correct} and only_baseline_correct "
                f"{self.only_baseline_correct} do not explain a gain of {gain} images"
            )
        return self


class CheckModelReport(Contract):
    """Whether a source model's weights fit their network."""

    kind: Literal["check_model"] = "check_model"
    accepted: bool
    reason: str | None = Field(
        default=None, max_length=2000, description="Which tensors do not fit."
    )


class FailedReport(Contract):
    """A `probe`, `final` or `check_model` that could not be done."""

    kind: Literal["failed"] = "failed"
    reason: str = Field(min_length=1, max_length=2000)


Report = Annotated[
    TrialReport | ProbeReport | FinalReport | CheckModelReport | FailedReport,
    Field(discriminator="kind"),
]


class ReportReply(Contract):
    """The report counted."""

    accepted: Literal[True] = True


class UploadReply(Contract):
    """Weights or a checkpoint arrived whole."""

    sha256: Sha256
    size_bytes: int = Field(ge=1)
