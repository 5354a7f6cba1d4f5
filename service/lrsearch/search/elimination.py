"""Which running finetunes of strategy `recommend` are stopped early, by how their curves go."""

from collections.abc import Sequence

from lrsearch.search.known import Finetune, KnownTask


def doomed(finetune: Finetune, rivals: Sequence[Finetune], task: KnownTask) -> str | None:
    """Why a running finetune should stop now, or None.

    For now every finetune is run to its end.

    Args:
        finetune: With its curve so far.
        rivals: The task's other finetunes, but for the baseline, finished or running, with their
            curves; at least one is running.
        task: Features, prior, epochs of a whole finetune, validation images, and all finetunes.
    """
    return None
