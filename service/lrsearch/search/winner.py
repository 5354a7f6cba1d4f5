"""Which of a job's complete trials is the best."""

from typing import NamedTuple

from lrsearch.contract.rates import StageRates
from lrsearch.search.known import KnownTask


class Contestant(NamedTuple):
    """A complete trial."""

    rates: StageRates
    val_top1: float
    val_loss: float


class Decision(NamedTuple):
    """Whether a trial takes the lead, and what is expected of both; null without a task."""

    leads: bool
    expected_top1: float | None
    """Of the trial."""
    best_expected_top1: float | None
    """Of the job's best, which the trial now is if it leads."""


def decide(trial: Contestant, best: Contestant | None, task: KnownTask | None) -> Decision:
    """Whether a trial that has just completed is its job's best from now on.

    The highest validation accuracy is the best, ties going to the lower loss. Where a task is
    given, as under strategy `recommend`, the highest expected accuracy goes before both: of many
    trials on few validation images the luckiest one has the highest accuracy. Both trials are
    judged by all that is known now. A trial that was passed over does not come back, whatever is
    learnt later: its weights are gone.

    Args:
        trial: That has completed.
        best: The best of those before it, if there is one.
        task: What is known, the trial included.
    """
    contestants = [trial] if best is None else [trial, best]
    expected: list[float | None] = [None] * len(contestants)
    if task is not None:
        expected = [*task.expected_top1s([each.rates for each in contestants])]
    ranks = [
        (top1 or 0.0, each.val_top1, -each.val_loss)
        for top1, each in zip(expected, contestants, strict=True)
    ]
    leads = best is None or ranks[0] > ranks[1]
    return Decision(leads, expected[0], expected[0 if leads else 1])
