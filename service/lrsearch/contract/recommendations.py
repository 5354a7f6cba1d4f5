"""Recommendations: stage rates for a task, from what other tasks teach; nothing is run."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import Accuracy, Contract, Identifier
from lrsearch.contract.probes import Probe
from lrsearch.contract.protocols import MAX_POINTS, Point, Protocol, Staged, grid_size, is_finite
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe

MOST_IMAGES = 10**9
"""Of a task; what lies beyond is a mistake."""

Percentage = Annotated[float, Field(ge=-100.0, le=100.0)]


class RecommendationRequest(Contract):
    """What is known of the task: a job that was probed, a probe, or its sizes alone."""

    job: Identifier | None = Field(default=None, description="Id of a job that has been probed.")
    probe: Probe | None = Field(default=None, description="A probe, as it is shown with a job.")
    images_per_label: int | None = Field(
        default=None,
        ge=1,
        le=10**6,
        description="Training images per label; with `labels`, instead of a job or a probe.",
    )
    labels: int | None = Field(default=None, ge=1, le=10**5, description="Labels.")
    protocol: Protocol = Field(default_factory=Staged, description="The space of stage rates.")
    recipe: Recipe | None = Field(
        default=None, description="How it is finetuned; null: as the job, else the default recipe."
    )
    count: int = Field(default=5, ge=1, le=50, description="Most recommendations to give.")

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        sizes = [self.images_per_label, self.labels]
        given = [self.job is not None, self.probe is not None, sizes != [None, None]]
        if sum(given) != 1:
            raise ValueError(
                "say what the task is in one way: job, or probe, or images_per_label with labels"
            )
        if given[2] and None in sizes:
            raise ValueError("images_per_label and labels go together; one of them is missing")
        return self

    @model_validator(mode="after")
    def _can_be_ranked(self) -> Self:
        if is_finite(self.protocol) and (points := grid_size(self.protocol)) > MAX_POINTS:
            raise ValueError(
                f"protocol {self.protocol.name!r} has a grid of {points} points, more than "
                f"{MAX_POINTS}; give shorter lists, or a range"
            )
        for name in ("images", "labels"):
            if self.probe is not None and getattr(self.probe, name) > MOST_IMAGES:
                # Without the number, which may have any number of digits.
                raise ValueError(f"probe.{name}: is more than {MOST_IMAGES:,}, the most there are")
        return self


class Recommended(Contract):
    """Rates, and what is expected of them."""

    point: Point = Field(description="The protocol's values.")
    rates: StageRates
    expected_top1: Accuracy = Field(description="Expected top-1 accuracy.")
    gain_points: Percentage = Field(
        description="Expected gain over the baseline, in percentage points."
    )
    gain_deviation_points: float = Field(
        ge=0.0, description="Its standard deviation, in percentage points."
    )


class FeatureEffect(Contract):
    """A feature of the task, and what it does to the recommendation."""

    name: str
    value: float = Field(description="Of the task.")
    known: bool = Field(
        description="False where only a probe would know: then as of known tasks of such sizes."
    )
    typical: float = Field(description="Mean over the known tasks, of the logarithm for counts.")
    typical_low: float = Field(description="One standard deviation below.")
    typical_high: float = Field(description="One standard deviation above.")
    rates_if_typical: StageRates = Field(
        description="What would be recommended first if this feature alone were typical."
    )
    head_factor: float = Field(
        gt=0.0,
        description="The recommended head rate over that of `rates_if_typical`; with graduated "
        "rates this is the factor on the scale. 1: no effect.",
    )


class NearTask(Contract):
    """A task that the prior knows."""

    name: str
    domain: str
    similarity: float = Field(ge=0.0, le=1.0, description="Of its features; 1: the same.")


class Explanation(Contract):
    """Why these rates."""

    features: list[FeatureEffect] = Field(
        description="The one that moves the head rate most first."
    )
    nearest_tasks: list[NearTask] = Field(description="The most similar first, up to three.")


class Recommendation(Contract):
    """Stage rates for a task, the best first."""

    prior_version: str = Field(description="Of what the service has learnt from other tasks.")
    based_on: Literal["probe", "sizes"] = Field(
        description="`sizes`: only the numbers of images and labels were known."
    )
    recommended: list[Recommended] = Field(description="By expected accuracy.")
    explanation: Explanation
