"""Which running finetunes of strategy `recommend` are stopped early, by how their curves go."""

from collections.abc import Sequence
from math import ceil

from lrsearch.search.known import Finetune, KnownTask


def doomed(finetune: Finetune, rivals: Sequence[Finetune], task: KnownTask) -> str | None:
    """Why a running finetune should stop now, or None.

    From half of its epochs on, it goes on only as long as no more is expected of any rival that has
    come as far. So of those that train together one is left, and a later one gives way to the best.

    Args:
        finetune: With its curve so far.
        rivals: The task's other finetunes, but for the baseline, with their curves.
        task: What is known, all of these included.
    """
    half, epoch = ceil(task.epochs / 2), len(finetune.curve)
    if not half <= epoch < task.epochs:
        return None
    as_far = [each for each in rivals if _goes_on(each) and len(each.curve) >= half]
    if not as_far:
        return None
    rates = [finetune.rates, *(each.rates for each in as_far)]
    expected, *others = task.prior.believe(task.features, rates, task.news).shares()
    best = max(others)
    if expected >= best:
        return None
    rival = as_far[others.index(best)]
    return (
        f"after {epoch} of {task.epochs} epochs an accuracy of {expected:.3f} is expected in the "
        f"end, and {best:.3f} of trial {rival.number}"
    )


def _goes_on(finetune: Finetune) -> bool:
    return finetune.state in ("complete", "running")
