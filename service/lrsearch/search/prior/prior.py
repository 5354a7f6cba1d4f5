"""The prior: ranks stage rates for a task, from its features and from what was tried on it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np

from lrsearch.contract.rates import StageRates
from lrsearch.search.baseline import BASELINE
from lrsearch.search.prior.coordinates import COORDINATES, coordinates
from lrsearch.search.prior.evidence import Evidence, logit
from lrsearch.search.prior.features import Vector
from lrsearch.search.prior.joints import Joints
from lrsearch.search.prior.process import NEW_TASK, Array, Kernel, Normal, Points, Process

SHIPPED: Final = Path(__file__).with_name("prior.safetensors")


_RISE: Final = 0.12
"""What the logit of an accuracy still gains from half of the epochs to the end."""

_DOUBT: Final = 0.1
"""Variance of that gain. Both are medians over finetunes of the benchmark's tasks, and go with
1 / share - 1, which fits what was measured after a tenth, a quarter and a half of the epochs."""


_SHARED: Final = 0.6
"""Correlation of the errors of two accuracies that were measured on the same images: whether a
finetune has an image right goes with whether another has it, by 0.61 between trained networks (0.49
to 0.74 over the benchmark's tasks) and 0.55 between them and the baseline."""


class Observation(NamedTuple):
    """What a finetune of the task at hand reached on its validation images."""

    rates: StageRates
    val_top1: float
    """After its last epoch, or the last so far."""
    val_images: int
    share: float = 1.0
    """Of its epochs that it has run, in (0, 1]."""


class Ranked(NamedTuple):
    """Rates, and what is expected of them; the deviations are of one standard deviation."""

    rates: StageRates
    top1: float
    """Expected accuracy."""
    gain: float
    """Expected accuracy minus the baseline's."""
    gain_deviation: float


@dataclass(frozen=True)
class Prior:
    """What the evidence teaches.

    Attributes:
        version: Tells one fit from another.
        kernel: How alike tasks and rates are.
        evidence: Finetunes of known tasks.
    """

    version: str
    kernel: Kernel
    evidence: Evidence

    def rank(
        self,
        features: Vector,
        candidates: Sequence[StageRates],
        seen: Sequence[Observation] = (),
    ) -> list[Ranked]:
        """The candidates, the one of the highest expected accuracy first.

        Args:
            features: Of the task: see `task_features`.
            candidates: Rates to choose from.
            seen: What was tried on the task already.
        """
        believed = self.believe(features, [*candidates, BASELINE], seen)
        shares = believed.shares()
        baseline = len(candidates)
        ranked = [
            Ranked(
                rates,
                float(shares[i]),
                float(shares[i] - shares[baseline]),
                believed.share_difference_deviation(i, baseline),
            )
            for i, rates in enumerate(candidates)
        ]
        return sorted(ranked, key=lambda each: each.top1, reverse=True)

    def believe(
        self,
        features: Vector,
        rates: Sequence[StageRates],
        seen: Sequence[Observation] = (),
    ) -> "Belief":
        """The joint distribution of what finetunes with `rates` reach on a task.

        Rates that were tried already stand for that very finetune, luck of its seed included, since
        it is its network that is chosen or not; other rates stand for a finetune yet to be run.

        Args:
            features: Of the task.
            rates: Any number of them.
            seen: What was tried on the task already, each of the rates once.
        """
        everything = [*rates, *(each.rates for each in seen)]
        joint = self._joints.of(features, everything)
        numbers = {each: number for number, each in enumerate(everything)}
        runs = np.array([numbers[each] for each in everything])
        luck = self.kernel.run**2 * (runs[:, None] == runs[None, :])
        values, noise = _evidence_of(seen)
        places = np.arange(len(rates), len(everything))
        after = Normal(joint.mean, joint.covariance + luck).given(places, values, noise)
        count = len(rates)
        return Belief(Normal(after.mean[:count], after.covariance[:count, :count]))

    def means(self, features: Array, rates: Sequence[StageRates]) -> Array:
        """The means of `believe` alone, in logits, for several new tasks at once; much faster.

        Args:
            features: `(tasks, features)`.
            rates: Any number of them.

        Returns:
            Shape `(tasks, rates)`.
        """
        return self._process.means(coordinates(rates), self.evidence.standardised(features))

    def similarities(self, features: Vector) -> Array:
        """How alike a task and those of the evidence are by their features, 0 to 1, `(tasks,)`."""
        known = self.evidence.standardised(self.evidence.features)
        here = self.evidence.standardised(features[None, :])
        return self.kernel.similarity(here, known).reshape(-1)

    @cached_property
    def _process(self) -> Process:
        evidence = self.evidence
        return Process(self.kernel, evidence.points(), evidence.values, evidence.noise)

    @cached_property
    def _joints(self) -> Joints:
        return Joints(self._joint)

    def _joint(self, features: Vector, rates: Sequence[StageRates]) -> Normal:
        """What finetunes of a new task reach, but for the luck of their seeds."""
        standardised = self.evidence.standardised(features[None, :])
        return self._process.at(
            Points(
                coordinates(rates),
                np.repeat(standardised, len(rates), axis=0),
                np.full(len(rates), NEW_TASK, dtype=np.int64),
            )
        )

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        kernel = json.dumps([float(number) for number in self.kernel.vector()])
        return self.evidence.to_bytes({"version": self.version, "kernel": kernel})

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` gave.

        Raises:
            SafetensorError: It is no safetensors file.
            ValueError: It is of another version of lrsearch.
        """
        evidence, metadata = Evidence.from_bytes(content)
        vector = np.array(json.loads(metadata["kernel"]), dtype=np.float64)
        return cls(metadata["version"], Kernel.of(vector, len(COORDINATES)), evidence)

    def write(self, path: Path) -> None:
        """Writes a safetensors file."""
        path.write_bytes(self.to_bytes())

    @classmethod
    def read(cls, path: Path = SHIPPED) -> Self:
        """What `write` wrote; raises what `from_bytes` raises."""
        return cls.from_bytes(path.read_bytes())


@dataclass(frozen=True)
class Belief:
    """What some rates are believed to reach on a task, in logits of accuracy."""

    logits: Normal

    def shares(self) -> Array:
        """Expected accuracies, shape `(rates,)`.

        The mean of a logistic function of a normal variable, by MacKay's approximation.
        """
        variance = self.logits.deviation**2
        return logistic(self.logits.mean / np.sqrt(1.0 + np.pi * variance / 8.0))

    def share_difference_deviation(self, one: int, other: int) -> float:
        """Standard deviation of the difference of two accuracies, to first order."""
        mean, covariance = self.logits
        slopes = logistic(mean[[one, other]]) * logistic(-mean[[one, other]])
        a, b = float(slopes[0]), float(slopes[1])
        variance = (
            a * a * covariance[one, one]
            + b * b * covariance[other, other]
            - 2.0 * a * b * covariance[one, other]
        )
        return sqrt(max(float(variance), 0.0))


def _evidence_of(seen: Sequence[Observation]) -> tuple[Array, Array]:
    """Logits of the accuracies in the end, and the covariance of their errors."""
    images = np.array([float(each.val_images) for each in seen])
    correct = np.array([each.val_top1 for each in seen]) * images
    values, noise = logit(correct, images)
    ahead = 1.0 / np.array([each.share for each in seen]) - 1.0
    deviations = np.sqrt(noise)
    errors = _SHARED * np.outer(deviations, deviations) + np.diag((1.0 - _SHARED) * noise)
    return values + _RISE * ahead, errors + np.diag(_DOUBT * ahead)


def logistic(logits: Array) -> Array:
    """Accuracies of logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float64)
