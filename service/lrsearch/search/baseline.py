"""The baseline: what a user does who does not search at all."""

from lrsearch.contract.protocols import Point, Protocol, is_finite
from lrsearch.contract.rates import StageRates

BASELINE = StageRates.of(inner=0.0, head=10 * 0.001)
"""A frozen network whose last layer learns at ten times the base rate (paper, section 4.1)."""


def baseline_point(protocol: Protocol) -> Point:
    """Where the baseline lies in the protocol's grid; empty where it does not."""
    if not is_finite(protocol):
        return {}
    return next((point for point in protocol.points() if protocol.rates(point) == BASELINE), {})
