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

ENOUGH: Final = 12
"""Proven points that make a space's other points needless at first."""

_BASES: Final = (2, 3, 5, 7, 11)


def candidate_points(protocol: Protocol) -> list[Point]:
    """What is chosen from at first.

    All points of a finite protocol. Of `staged`, the proven points that lie in it: those that were
    run on every task of the benchmark, so that what is expected of them is measured rather than
    interpolated. Where they are fewer than `ENOUGH`, and of other protocols, points that are spread
    evenly as well.
    """
    if is_finite(protocol):
        return protocol.points()
    proven = _proven(protocol)
    return proven if len(proven) >= ENOUGH else [*proven, *further_points(protocol)]


def further_points(protocol: Protocol) -> list[Point]:
    """What is chosen from when all candidates were tried: points spread evenly over the space."""
    return [] if is_finite(protocol) else [_spread(protocol, number) for number in range(SPREAD)]


def _proven(protocol: Protocol) -> list[Point]:
    """The paper's graduated rates and beyond, and faster inner stages with slower last layers."""
    if not isinstance(protocol, Staged):
        return []
    graduated: list[Point] = [
        {"frozen": 1, "il": 0.001 * scale, "growth": 2.0, "ll": 0.016 * scale}
        for scale in (*PAPER_SCALES, 20.0, 40.0)
    ]
    joint: list[Point] = [
        {"frozen": frozen, "il": 0.015, "growth": growth, "ll": ll}
        for frozen in (0, 2)
        for growth in (1.5, 3.0)
        for ll in (0.03, 0.06, 0.12)
    ]
    return [
        point
        for point in (*graduated, *joint)
        if all(_holds(protocol, name, value) for name, value in point.items())
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
