"""Which running trials are stopped early: pure functions of learning curves."""

from statistics import median

from lrsearch.contract.jobs import Pruning

MEDIAN_MINIMUM_CURVES = 4
"""Curves that the median rule wants to compare with."""

HALVING_FACTOR = 3
"""Of the trials that reach a rung of successive halving, the best third goes on."""


def should_prune(
    pruning: Pruning, curve: list[float], others: list[list[float]], epochs: int
) -> str | None:
    """Why a trial should stop now, or None.

    Args:
        pruning: the rule.
        curve: the trial's validation top-1 after each epoch so far.
        others: the same of the job's other trials, finished or running, the baseline left out.
        epochs: of the recipe.
    """
    epoch = len(curve)
    if not 0 < epoch < epochs:
        return None
    match pruning:
        case "median":
            return _below_median(curve, others, warmup=max(1, epochs // 5))
        case "halving":
            return _outside_best_third(curve, others, epochs)
        case _:
            return None


def _below_median(curve: list[float], others: list[list[float]], warmup: int) -> str | None:
    epoch = len(curve)
    rivals = [max(other[:epoch]) for other in others if len(other) >= epoch]
    if epoch < warmup or len(rivals) < MEDIAN_MINIMUM_CURVES or max(curve) >= median(rivals):
        return None
    return (
        f"best validation top-1 {max(curve):.3f} by epoch {epoch} is below the median "
        f"{median(rivals):.3f} of {len(rivals)} other trials"
    )


def _outside_best_third(curve: list[float], others: list[list[float]], epochs: int) -> str | None:
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel HPO", 2020)."""
    epoch = len(curve)
    if epoch not in _rungs(epochs):
        return None
    at_rung = [other[epoch - 1] for other in others if len(other) >= epoch]
    kept = (len(at_rung) + 1) // HALVING_FACTOR
    better = sum(value > curve[-1] for value in at_rung)
    if kept == 0 or better < kept:
        return None
    return f"{better} of {len(at_rung)} other trials were better at epoch {epoch}; {kept} go on"


def _rungs(epochs: int) -> set[int]:
    rungs, epoch = set(), epochs // HALVING_FACTOR
    while epoch >= 1:
        rungs.add(epoch)
        epoch //= HALVING_FACTOR
    return rungs
