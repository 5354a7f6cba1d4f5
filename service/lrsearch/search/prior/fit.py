"""Fits the kernel of a prior to evidence: the most likely one, a coordinate at a time."""

from typing import Final

import numpy as np

from lrsearch.search.prior.coordinates import COORDINATES
from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.process import Array, Kernel, log_likelihood

START: Final = Kernel(
    level=1.0,
    feature_level=1.0,
    common=0.5,
    featured=0.5,
    own=0.2,
    run=0.05,
    rate_lengths=(3.0,) * len(COORDINATES),
    feature_lengths=(3.0,) * len(FEATURES),
)
"""Where the search begins; its lengths are also where they are drawn to."""

_PULL: Final = 0.7
"""Deviation of the logarithm of a length: without it, few tasks make some of them absurd."""

_SWEEPS: Final = 6
_FIRST_STEP: Final = 0.4


def fit_kernel(evidence: Evidence, start: Kernel = START, sweeps: int = _SWEEPS) -> Kernel:
    """The kernel under which the evidence is most likely, lengths being drawn to `START`'s.

    Args:
        evidence: Finetunes of several tasks.
        start: Where to begin.
        sweeps: How often each number is tried to be changed.
    """
    points = evidence.points()

    def score(vector: Array) -> float:
        kernel = Kernel.of(vector, len(COORDINATES))
        fit = log_likelihood(kernel, points, evidence.values, evidence.noise)
        drawn = (vector - START.vector())[-len(START.rate_lengths + START.feature_lengths) :]
        return fit - 0.5 * float((drawn**2).sum()) / _PULL**2

    best = start.vector()
    likelihood = score(best)
    step = np.full(len(best), _FIRST_STEP)
    for _ in range(sweeps):
        for number in range(len(best)):
            for sign in (1.0, -1.0):
                tried = best.copy()
                tried[number] += sign * step[number]
                value = score(tried)
                if value > likelihood:
                    best, likelihood = tried, value
                    step[number] *= 1.3
                    break
            else:
                step[number] *= 0.5
    return Kernel.of(best, len(COORDINATES))
