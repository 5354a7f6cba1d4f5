"""A task of the table as a strategy may see it, and the evidence that tasks are for the prior."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.search.prior.evidence import Evidence, logit
from lrsearch.search.prior.features import Vector, task_features
from tests.benchmarks.tasks.rows import unpacked
from tests.benchmarks.tasks.table import Measured

RECIPE: Final = Recipe()
"""Of all rows."""

GRADUATED: Final = "graduated"
"""The first layer that is read, and the only one that all tasks have all trials of."""

JOINT: Final = "joint"
"""The layer of points beyond the graduated line."""

SEEDS: Final = "seeds"
"""The layer of the graduated points with other seeds."""

BASELINE: Final = 0
"""Index of the baseline among a task's trials."""

PAPER: Final = range(1, 12)
"""Indices of the paper's 11 scales among a task's trials."""

SCALES: Final = range(1, 14)
"""Indices of all scales of the graduated layer: the paper's, and the two beyond."""

DIVERGED_NOISE: Final = 0.25
"""Variance, in logits, of taking a diverged finetune for one that answers at random."""


@dataclass(frozen=True)
class Task:
    """A task, a source model and what every finetune of them gave.

    Trials are known by their place: the baseline's is 0, those of the graduated layer follow, and
    then come those of other layers, of which tasks may hold any number.
    """

    measured: Measured

    @property
    def name(self) -> str:
        """Of target and source."""
        return f"{self.measured.task} from {self.measured.source}"

    @cached_property
    def features(self) -> Vector:
        """What the prior is told of it."""
        return task_features(self.measured.probe, RECIPE)

    def of(self, *layers: str) -> list[int]:
        """The trials of some layers, in the order of the layers; the baseline is of none."""
        return [trial for layer in layers for trial in self._layers.get(layer, [])]

    @cached_property
    def _layers(self) -> dict[str, list[int]]:
        layers: dict[str, list[int]] = {}
        for trial, row in enumerate(self.measured.rows):
            if not row["baseline"]:
                layers.setdefault(row["layer"], []).append(trial)
        return layers

    @cached_property
    def rates(self) -> list[StageRates]:
        """Of its trials."""
        return self.measured.rates

    @cached_property
    def audit(self) -> NDArray[np.float64]:
        """Accuracies that no strategy sees."""
        return self.measured.audit

    @cached_property
    def val_images(self) -> int:
        """Of its validation split."""
        return int(next(row["val_images"] for row in self.measured.rows if row["val_images"]))

    def val_top1(self, trial: int, epoch: int = RECIPE.epochs) -> float:
        """Validation accuracy after `epoch`; at random from where a trial diverged."""
        curve = self.measured.rows[trial]["val_top1"]
        return float(curve[epoch - 1]) if len(curve) >= epoch else self.measured.probe.chance

    def val_loss(self, trial: int, epoch: int = RECIPE.epochs) -> float:
        """Validation loss after `epoch`; infinite from where a trial diverged."""
        losses = self.measured.rows[trial]["val_loss"]
        return float(losses[epoch - 1]) if len(losses) >= epoch else np.inf

    def diverged(self, trial: int) -> bool:
        """Whether it did not come to its end."""
        return len(self.measured.rows[trial]["val_top1"]) < RECIPE.epochs

    def selected(self, trials: Sequence[int], epoch: int = RECIPE.epochs) -> int:
        """The best of some by validation accuracy after `epoch`, ties by loss."""

        def rank(trial: int) -> tuple[float, float]:
            return self.val_top1(trial, epoch), -self.val_loss(trial, epoch)

        return max(trials, key=rank)

    def audit_right(self, trial: int) -> NDArray[np.bool_] | None:
        """Which audit images a trial has right; None where it diverged."""
        row = self.measured.rows[trial]
        if row["audit_right"] is None:
            return None
        return unpacked(row["audit_right"], row["audit_images"])

    def test_top1(self, trial: int) -> float | None:
        """Accuracy on the test split of the size that its user has."""
        row = self.measured.rows[trial]
        if row["test_right"] is None:
            return None
        return float(unpacked(row["test_right"], row["test_images"]).mean())


def evidence_of(
    tasks: Sequence[Task],
    layers: Sequence[str] = (GRADUATED, JOINT),
    repeats: Sequence[Task] = (),
) -> Evidence:
    """What the baseline and the trials of some layers teach a prior: audit accuracies.

    Args:
        tasks: What is known.
        layers: Of which the trials are taken.
        repeats: The same with other seeds; those of other tasks are left out.
    """
    numbers = {task.name: number for number, task in enumerate(tasks)}
    groups, values, noise = [], [], []
    rates: list[list[float]] = []
    for task in (*tasks, *(each for each in repeats if each.name in numbers)):
        number = numbers[task.name]
        trials = [BASELINE, *task.of(*layers, SEEDS)]
        rows = [task.measured.rows[trial] for trial in trials]
        images = next(row["audit_images"] for row in rows if row["audit_images"])
        logits, variances = logit(task.audit[trials] * images, np.full(len(rows), float(images)))
        diverged = np.array([row["audit_correct"] is None for row in rows])
        groups.append(np.full(len(rows), number))
        rates.extend([row[stage] for stage in STAGES] for row in rows)
        values.append(logits)
        noise.append(variances + np.where(diverged, DIVERGED_NOISE, 0.0))
    return Evidence(
        [task.name for task in tasks],
        [task.measured.domain for task in tasks],
        np.array([task.features for task in tasks]),
        np.concatenate(groups).astype(np.int64),
        np.array(rates),
        np.concatenate(values),
        np.concatenate(noise),
    )
