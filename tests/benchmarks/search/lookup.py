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

BASELINE: Final = 0
"""Index of the baseline among a task's trials."""

PAPER: Final = range(1, 12)
"""Indices of the paper's 11 scales among a task's trials."""

DIVERGED_NOISE: Final = 0.25
"""Variance, in logits, of taking a diverged finetune for one that answers at random."""


@dataclass(frozen=True)
class Task:
    """A task, a source model and what every finetune of them gave."""

    measured: Measured

    @cached_property
    def features(self) -> Vector:
        """What the prior is told of it."""
        return task_features(self.measured.probe, RECIPE)

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

    def selected(self, trials: Sequence[int], epoch: int = RECIPE.epochs) -> int:
        """The best of some by validation accuracy after `epoch`, ties by loss."""

        def rank(trial: int) -> tuple[float, float]:
            losses = self.measured.rows[trial]["val_loss"]
            loss = losses[epoch - 1] if len(losses) >= epoch else np.inf
            return self.val_top1(trial, epoch), -loss

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


def evidence_of(tasks: Sequence[Task]) -> Evidence:
    """What the tasks teach a prior: audit accuracies."""
    groups, values, noise = [], [], []
    for number, task in enumerate(tasks):
        rows = task.measured.rows
        images = next(row["audit_images"] for row in rows if row["audit_images"])
        logits, variances = logit(task.audit * images, np.full(len(rows), float(images)))
        diverged = np.array([row["audit_correct"] is None for row in rows])
        groups.append(np.full(len(rows), number))
        values.append(logits)
        noise.append(variances + np.where(diverged, DIVERGED_NOISE, 0.0))
    return Evidence(
        [f"{task.measured.task} from {task.measured.source}" for task in tasks],
        [task.measured.domain for task in tasks],
        np.array([task.features for task in tasks]),
        np.concatenate(groups).astype(np.int64),
        np.array([[row[stage] for stage in STAGES] for t in tasks for row in t.measured.rows]),
        np.concatenate(values),
        np.concatenate(noise),
    )
