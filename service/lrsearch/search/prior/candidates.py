"""Points of a protocol among which the prior chooses."""

from math import exp, log
from typing import Final

from lrsearch.contract.protocols import (
    PAPER_SCALES,
    LogRange,
    Point,
    Protocol,
    Staged,
    is_finite,
)

SPREAD: Final = 256
"""Points that stand for a space with ranges: enough to come within a tenth of a decade of any
useful rate, few enough to be ranked in milliseconds."""

_BASES: Final = (2, 3, 5, 7, 11)


def candidate_points(protocol: Protocol) -> list[Point]:
    """All points of a finite protocol; of another, points that are spread evenly over it.

    Those of `staged` begin with the paper's graduated rates, as far as they lie in it.
    """
    if is_finite(protocol):
        return protocol.points()
    return [*_graduated(protocol), *(_spread(protocol, number) for number in range(SPREAD))]


def _graduated(protocol: Protocol) -> list[Point]:
    if not isinstance(protocol, Staged) or 1 not in protocol.frozen:
        return []
    points: list[Point] = [
        {"frozen": 1, "il": 0.001 * scale, "growth": 2.0, "ll": 0.016 * scale}
        for scale in (*PAPER_SCALES, 20.0, 40.0)
    ]
    return [
        point
        for point in points
        if all(_holds(protocol, name, point[name]) for name in ("il", "growth", "ll"))
    ]


def _holds(protocol: Staged, name: str, value: float) -> bool:
    axis = protocol.axes[name]
    return axis.low <= value <= axis.high if isinstance(axis, LogRange) else value in axis


def _spread(protocol: Protocol, number: int) -> Point:
    """Member `number` of a Halton sequence over the protocol's axes."""
    point: Point = {}
    for base, (name, axis) in zip(_BASES, protocol.axes.items(), strict=False):
        share = _radical_inverse(number + 1, base)
        if isinstance(axis, LogRange):
            low, high = log(axis.low), log(axis.high)  # whose ratio may be beyond a float
            value = exp(low + (high - low) * share)
            point[name] = min(max(value, axis.low), axis.high)
        else:
            point[name] = axis[int(share * len(axis))]
    return point


def _radical_inverse(number: int, base: int) -> float:
    """The digits of `number` mirrored behind the point, in [0, 1)."""
    share, unit = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        unit /= base
        share += unit * digit
    return share
