"""Small tasks whose right answers are known by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.search.baseline import BASELINE as BASELINE_RATES
from tests.benchmarks.search.lookup import RECIPE, SCALES, Task
from tests.benchmarks.tasks.points import LAYERS
from tests.benchmarks.tasks.rows import Row
from tests.benchmarks.tasks.table import Measured
from tests.probes import a_probe

IMAGES = 1000
"""Of a validation, a test and an audit split: accuracies are multiples of 0.001."""

MIDDLING = [0.5] * len(SCALES)

Curve = Sequence[float] | float
"""Validation accuracy by epoch; or the same one after every epoch."""


def a_task(
    val: Sequence[Curve] = MIDDLING,
    audit: Sequence[float] | None = None,
    baseline: float = 0.4,
    more: Mapping[str, Sequence[float]] | None = None,
    **known: Any,
) -> Task:
    """A task with a baseline and the scales of the graduated layer.

    Args:
        val: Of each scale: what validation images say.
        audit: Of each scale: accuracy on audit images; None: as the validation's last.
        baseline: Accuracy of the baseline on all images.
        more: By layer: accuracies of its trials on all images.
        known: Changes of the task's name, domain, source and probe.
    """
    fields = {"task": "one", "domain": "digits", "source": "letters", "seed": 0, **known}
    fields.setdefault("probe", a_probe())
    space = LAYERS["graduated"].space(None)
    rates = [space.rates(point) for point in space.points()]
    assert len(val) == len(rates) == len(SCALES)
    audit = [curve_of(each)[-1] for each in val] if audit is None else audit
    rows = [a_row("graduated", BASELINE_RATES, baseline, baseline, baseline=True)]
    rows += [a_row("graduated", *each) for each in zip(rates, val, audit, strict=True)]
    for layer, accuracies in (more or {}).items():
        rows += [a_row(layer, BASELINE_RATES, each, each) for each in accuracies]
    return Task(Measured(**fields, rows=rows))


def a_row(
    layer: str, rates: StageRates, val: Curve, audit: float | None, baseline: bool = False
) -> Row:
    """A trial's row; `audit` is None where it diverged."""
    curve = curve_of(val)
    last = None if audit is None else right(audit)
    return {
        "layer": layer,
        "baseline": baseline,
        **{stage: rates[stage] for stage in STAGES},
        "val_images": IMAGES,
        "val_top1": curve,
        "val_loss": [1.0 - top1 for top1 in curve],
        "test_images": None if last is None else IMAGES,
        "test_right": last,
        "audit_images": None if last is None else IMAGES,
        "audit_correct": None if audit is None else round(audit * IMAGES),
        "audit_right": last,
        "seconds": 1.0,
    }


def curve_of(val: Curve) -> list[float]:
    """By epoch."""
    return [val] * RECIPE.epochs if isinstance(val, float) else list(val)


def right(share: float) -> bytes:
    """The first images are right, up to `share` of them all."""
    return np.packbits(np.arange(IMAGES) < round(share * IMAGES)).tobytes()


class Watched(Task):
    """A task that keeps a record of what a strategy looks at, and shows no audit image."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.measured)
        object.__setattr__(self, "seen", {})

    seen: dict[int, int]
    """By trial: the last epoch whose accuracy was asked for."""

    def val_top1(self, trial: int, epoch: int = RECIPE.epochs) -> float:
        self.seen[trial] = max(epoch, self.seen.get(trial, 0))
        return super().val_top1(trial, epoch)

    @property
    def audit(self) -> Any:
        raise AssertionError("a strategy looked at the audit split of its task")

    def audit_right(self, trial: int) -> Any:
        raise AssertionError("a strategy looked at the audit split of its task")

    def test_top1(self, trial: int) -> Any:
        raise AssertionError("a strategy looked at the test split of its task")
