"""Jobs: a target, a source model, a protocol, a strategy, a recipe and a budget."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import Accuracy, Contract, Identifier, Name
from lrsearch.contract.budgets import Budget
from lrsearch.contract.probes import Probe
from lrsearch.contract.protocols import (
    MAX_POINTS,
    Graduated,
    Protocol,
    Staged,
    grid_size,
    is_finite,
)
from lrsearch.contract.reasons import ReasonCode
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.webhooks import Delivery, Webhook
from lrsearch.contract.workers import DeviceKind

Strategy = Literal["recommend", "exhaustive", "random", "tpe", "gp"]
"""How a protocol's space is searched: by what other tasks teach, in full, or by a sampler."""

Pruning = Literal["none", "median", "halving"]
"""Which running trials are stopped early: none, those below the median of the others at the same
epoch, or all but the best third at each rung of successive halving."""

Priority = Annotated[int, Field(ge=-100, le=100)]
"""Higher is served first; among equals, whoever has the least work running."""

DEFAULT_FINETUNES = 3.0
"""Budget of strategy `recommend` where none was given, in finetune-equivalents."""

DEFAULT_TRIALS = 20
"""Budget of a sampling strategy that was given none."""


class JobRequest(Contract):
    """What a user submits."""

    data_set: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        description="Id or name of the target data set."
    )
    source_model: Name = Field(default="general", description="Name of a registered source model.")
    name: Name | None = Field(default=None, description="For lists and the dashboard.")
    images_per_label: int | None = Field(
        default=None, ge=1, description="Training images per label; null: all there are."
    )
    protocol: Protocol | None = Field(
        default=None,
        description="The space of stage rates; null: `staged` under strategy `recommend`, else "
        "`graduated`.",
    )
    strategy: Strategy | None = Field(
        default=None,
        description="Null: `recommend`, which tries first what has proved itself on tasks like "
        "this one, and then what the trials so far make likely to be better.",
    )
    pruning: Pruning = Field(default="none", description="Which trials are stopped early.")
    recipe: Recipe = Field(default_factory=Recipe, description="Held fixed across the trials.")
    budget: Budget = Field(
        default_factory=Budget,
        description="Upper bounds; without any, `recommend` is given 3 finetunes, a sampling "
        "strategy 20 trials.",
    )
    confirm: bool = Field(
        default=True,
        description="After the search, finetune the winner's rates once more with a second seed "
        "(same images in the same splits; other head, order and views), if the budget still pays "
        "for a trial. Not done where the winner has no higher validation accuracy than the "
        "baseline, nor where the target accuracy has ended the search.",
    )
    device: DeviceKind | None = Field(
        default=None, description="Kind of device for all trials; null: the first worker's."
    )
    priority: Priority = Field(default=0, description="Higher is served first.")

    webhook: Webhook | None = Field(default=None, description="Who is told of the job's end.")

    @model_validator(mode="after")
    def _strategy_fits_protocol(self) -> Self:
        protocol = self.protocol
        if protocol is None:
            return self
        if self.strategy == "exhaustive" and not is_finite(protocol):
            raise ValueError(
                f"strategy 'exhaustive' cannot enumerate protocol {protocol.name!r} with a "
                "range; give lists of values, or choose strategy 'recommend', 'random', 'tpe' or "
                "'gp'"
            )
        if is_finite(protocol) and (points := grid_size(protocol)) > MAX_POINTS:
            raise ValueError(
                f"protocol {protocol.name!r} has a grid of {points} points, more than "
                f"{MAX_POINTS}; give shorter lists, or a range to sample from"
            )
        return self

    @model_validator(mode="after")
    def _budget_fits_recipe(self) -> Self:
        budget, epochs = self.budget, self.recipe.epochs
        if budget.epochs is not None and budget.epochs < epochs:
            raise ValueError(
                f"budget.epochs {budget.epochs} does not pay for one finetune of "
                f"{epochs} epochs; raise it or lower recipe.epochs"
            )
        paid = budget.epochs_of_finetunes(epochs)
        if paid is not None and budget.epochs not in (None, paid):
            raise ValueError(
                f"budget.finetunes {budget.finetunes:g} comes to {paid} epochs, where a finetune "
                f"has {epochs}, but budget.epochs is {budget.epochs}; give one of the two"
            )
        return self

    def resolved(self) -> "ResolvedRequest":
        """The same request with the defaults that depend on other fields filled in, no secrets."""
        strategy = self.strategy or "recommend"
        recommends = strategy == "recommend"
        budget = self.budget
        if recommends and not budget.bounds_finetunes:
            budget = budget.model_copy(update={"finetunes": DEFAULT_FINETUNES})
        elif strategy != "exhaustive" and not budget.bounds_finetunes:
            budget = budget.model_copy(update={"trials": DEFAULT_TRIALS})
        if budget.finetunes is not None:
            epochs = budget.epochs_of_finetunes(self.recipe.epochs)
            budget = budget.model_copy(update={"epochs": epochs})
        filled = {
            "protocol": self.protocol or (Staged() if recommends else Graduated()),
            "strategy": strategy,
            "budget": budget,
            "webhook": self.webhook and Webhook(url=self.webhook.url),
        }
        return ResolvedRequest(**{**dict(self), **filled})


class ResolvedRequest(JobRequest):
    """What a user submitted, with every default filled in."""

    protocol: Protocol
    strategy: Strategy


class JobChange(Contract):
    """What is to be changed of a job that is not over; what is left out stays as it is."""

    paused: bool | None = Field(
        default=None,
        description="True: nothing of the job is given out, and what runs is handed back within a "
        "heartbeat, to go on later from its checkpoint. False: the job goes on.",
    )
    priority: Priority | None = Field(default=None, description="Higher is served first.")
    budget: Budget | None = Field(
        default=None,
        description="Takes the place of the whole budget. Trials under way that it does not pay "
        "for, the last ones begun first, end within a heartbeat.",
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.paused is None and self.priority is None and self.budget is None:
            raise ValueError("give at least one of paused, priority and budget")
        return self


JobState = Literal[
    "waiting",  # no trial has started
    "running",  # trials run or wait
    "finalising",  # the winner and the baseline are being tested
    "complete",  # there is a result
    "failed",  # no trial could be run to its end; the reason says why
    "cancelled",  # by the user
]


OPEN: Final[tuple[JobState, ...]] = ("waiting", "running", "finalising")
"""States of a job that is not over."""


class Spent(Contract):
    """What a job has used of its budget, and what running trials have reserved."""

    trials: int = Field(ge=0, description="Finetunes begun, besides the baseline.")
    epochs: int = Field(ge=0, description="Epochs run or reserved, the baseline's not counted.")
    seconds: float = Field(ge=0.0, description="Worker seconds of finished trials.")


class Best(Contract):
    """The best complete trial so far.

    That is the one of the highest validation accuracy; under strategy `recommend`, the one of the
    highest expected accuracy (see `Result`).
    """

    trial: int = Field(ge=0, description="Its number.")
    val_top1: Accuracy
    expected_top1: Accuracy | None = Field(
        default=None,
        description="What is expected of it after all trials so far; null under other strategies.",
    )


class Job(Contract):
    """A submitted job."""

    id: Identifier
    name: Name | None
    state: JobState
    reason: str | None = Field(description="What it waits for, or why it failed, in a sentence.")
    reason_code: ReasonCode | None = Field(
        default=None, description="The same for programs; null exactly once the job is over."
    )
    paused: bool = Field(default=False, description="Nothing of it is given out.")
    request: ResolvedRequest
    data_set_id: Identifier
    source_model_id: Identifier
    trials_planned: int | None = Field(
        description="Trials with the baseline, where the grid or the budget tells, else null; once "
        "the winner is being confirmed, with this trial too."
    )
    trials_finished: int = Field(ge=0, description="Trials that ended, however.")
    spent: Spent
    best: Best | None
    probe: Probe | None = Field(
        default=None,
        description="What the task is like; null until it has been probed, or where that failed.",
    )
    delivery: Delivery | None = Field(
        default=None, description="Of the webhook; null without one, or while the job is not over."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
