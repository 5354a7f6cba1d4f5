"""An installation's own prior: fitted to its finished jobs together with what ships."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.judge import FEWEST_TASKS, Judgement, judge, refitted
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.thin import thinned

MOST_FINETUNES: Final = 2000
"""Of a prior: a recommendation takes some 35 ms with so many, and more than 50 from 2,500 on. Local
evidence is thinned to it."""

LEAST_ROOM: Final = 500
"""For local finetunes, however many ship."""


class Fit(NamedTuple):
    """What came of a fit."""

    local: Evidence
    """Of the installation, as far as it was used."""
    judgement: Judgement | None
    """None where there was too little to judge."""
    prior: Prior | None
    """The better prior; None where the shipped one is to be used."""


def fit_prior(
    shipped: Prior, local: Evidence, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Fit:
    """Fits a prior to shipped and local evidence, and judges it by leaving out one task at a time.

    Args:
        shipped: The prior that comes with lrsearch.
        local: The installation's evidence.
        on_progress: Is told how many of how many steps are done.
    """
    if len(local.names) < FEWEST_TASKS:
        return Fit(local, None, None)
    room = max(MOST_FINETUNES - len(shipped.evidence.values), LEAST_ROOM)
    local = thinned(local, room)
    judgement = judge(shipped, local, lambda done, groups: on_progress(done, groups + 1))
    if not judgement.is_better:
        return Fit(local, judgement, None)
    together = shipped.evidence.and_also(local)
    version = f"{shipped.version}+local.{datetime.now(UTC):%Y%m%dT%H%M%S}"
    return Fit(local, judgement, Prior(version, refitted(together, shipped.kernel), together))
