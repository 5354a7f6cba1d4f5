"""Less evidence, where all of it would take too long: the time goes with its third power."""

import numpy as np

from lrsearch.contract.rates import STAGES
from lrsearch.search.prior.evidence import Evidence


def thinned(evidence: Evidence, finetunes: int) -> Evidence:
    """The same evidence with at most so many finetunes.

    The largest tasks give way first, so that as many tasks as possible stay: of each, at most an
    equal number of finetunes is kept, evenly spread over their head rates. Where not even two a
    task have room, the tasks that come last go.

    Args:
        evidence: Of any number of tasks.
        finetunes: How many to keep at most; below 2, none are.
    """
    sizes = np.bincount(evidence.tasks, minlength=len(evidence.names))
    if sizes.sum() <= finetunes:
        return evidence
    tasks = min(len(sizes), finetunes // 2)
    share = max(
        (n for n in range(1, finetunes + 1) if np.minimum(sizes[:tasks], n).sum() <= finetunes),
        default=0,
    )
    kept = [row for task in range(tasks) for row in _spread(evidence, task, share)]
    return evidence.only(np.array(sorted(kept), dtype=np.int64))


def _spread(evidence: Evidence, task: int, count: int) -> list[int]:
    """Rows of a task, evenly over its head rates."""
    rows = np.flatnonzero(evidence.tasks == task)
    rows = rows[np.argsort(evidence.rates[rows, STAGES.index("head")], kind="stable")]
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]
