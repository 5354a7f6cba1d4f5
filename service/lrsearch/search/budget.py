"""How much of a job's budget is left: what may be claimed now, and whether ever again."""

from dataclasses import dataclass

from lrsearch.contract.budgets import Budget

SAFETY = 1.5
"""Seconds reserved for a trial, over those of the longest finished one."""


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
