"""How much of a job's budget is left: what may be claimed now, and whether ever again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lrsearch.contract.budgets import Budget

SAFETY = 1.5
"""Seconds reserved for a trial, over those of the longest finished one."""

ROUNDING_SECONDS = 1e-6
"""What sums of seconds may be wrong by."""


@dataclass(frozen=True)
class Use:
    """What a job has used so far."""

    trials: int
    epochs: int
    seconds: float
    seconds_reserved: float
    best_val_top1: float | None
    running: int


@dataclass(frozen=True)
class Allowance:
    """Whether one more trial may begin."""

    now: bool
    later: bool
    """Not now, but when running trials give back what they have reserved."""
    reason: str = ""
    seconds_limit: float | None = None
    """What the trial may take; it is reserved."""


def allowance(budget: Budget, use: Use, epochs: int, longest_seconds: float | None) -> Allowance:
    """Whether the budget pays for one more trial.

    Args:
        budget: the bounds.
        use: what is spent and reserved.
        epochs: that the trial would run.
        longest_seconds: of the finished trials; None where there is none yet, and the whole rest
            is reserved for the next trial.
    """
    if (
        budget.target_accuracy is not None
        and use.best_val_top1 is not None
        and use.best_val_top1 >= budget.target_accuracy
    ):
        return _spent(f"the target accuracy {budget.target_accuracy:g} is reached")
    if budget.trials is not None and use.trials >= budget.trials:
        return _spent(f"the budget of {budget.trials} trials is used")
    if budget.epochs is not None and use.epochs + epochs > budget.epochs:
        return _spent(f"the budget of {budget.epochs} epochs pays for no other trial", use)
    if budget.seconds is None:
        return Allowance(now=True, later=True)
    left = budget.seconds - use.seconds - use.seconds_reserved
    # A slice too small for any trial would only waste what is left.
    wanted = left if longest_seconds is None else SAFETY * longest_seconds
    if left <= 0.0 or left < 0.25 * wanted:
        return _spent(f"the budget of {budget.seconds:g} seconds pays for no other trial", use)
    return Allowance(now=True, later=True, seconds_limit=min(left, wanted))


def _spent(reason: str, use: Use | None = None) -> Allowance:
    return Allowance(now=False, later=use is not None and use.running > 0, reason=reason)


@dataclass(frozen=True)
class Reserved:
    """What an unfinished trial may still use."""

    number: int
    epochs: int
    """Reserved, and not run yet."""
    seconds: float
    """Reserved in all."""
    seconds_next: float
    """That it will have taken by the end of its next epoch."""


@dataclass(frozen=True)
class Cut:
    """Why an unfinished trial must end, and how."""

    directive: Literal["prune", "cancel"]
    reason: str


def cuts(budget: Budget, use: Use, reserved: Sequence[Reserved]) -> dict[int, Cut]:
    """The trials, by number, that a lowered budget does not pay for: the last ones begun go first.

    Seconds are taken from what each has reserved; it goes on as long as the rest suffices.

    Args:
        budget: the new bounds.
        use: what is spent, and reserved by all of `reserved`.
        reserved: the unfinished trials, the baseline left out.
    """
    found: dict[int, Cut] = {}
    epochs = 0 if budget.epochs is None else use.epochs - budget.epochs
    seconds = 0.0 if budget.seconds is None else use.seconds + use.seconds_reserved - budget.seconds
    for trial in sorted(reserved, key=lambda trial: -trial.number):
        if budget.trials is not None and trial.number > budget.trials:
            reason = f"the budget was lowered to {budget.trials} trials"
            found[trial.number] = Cut("cancel", reason)
        elif epochs > 0:
            reason = f"the budget was lowered to {budget.epochs} epochs"
            found[trial.number] = Cut("cancel", reason)
        elif seconds > ROUNDING_SECONDS and trial.seconds_next > trial.seconds - seconds:
            left = max(trial.seconds - seconds, 0.0)
            found[trial.number] = Cut(
                "prune", f"the budget of {budget.seconds:g} seconds leaves it {left:.1f} s"
            )
        if trial.number in found:
            epochs -= trial.epochs
        seconds -= trial.seconds
    return found
