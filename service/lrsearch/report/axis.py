"""The axis that a protocol's figure is drawn over, and where each trial stands on it."""

from dataclasses import dataclass
from math import ceil, floor, log10

from lrsearch.contract.protocols import (
    Graduated,
    LastLayer,
    LogRange,
    Point,
    Protocol,
    Staged,
    Uniform,
)
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import Trial
from lrsearch.report.text import rate


@dataclass(frozen=True)
class MainAxis:
    """A logarithmic axis of rates or scales; a rate of 0 stands apart, left of all others."""

    title: str
    group_title: str | None  # what tells the lines or colours apart, if anything does
    positions: dict[int, float]  # by trial number
    groups: dict[int, str]  # by trial number
    ticks: dict[float, str]  # labels by position
    is_connected: bool  # whether a group's trials differ in this axis alone: a line has sense


def main_axis(protocol: Protocol, trials: list[Trial]) -> MainAxis:
    """Where trials stand; those without a point (a baseline outside the grid) have no position."""
    searched = [trial for trial in trials if trial.point]
    values = {trial.number: _value(protocol, trial.point) for trial in searched}
    positive = [value for value in values.values() if value > 0.0]
    frozen_position = min(positive, default=0.01) / 10.0
    positions = {number: value or frozen_position for number, value in values.items()}
    ticks = _ticks(positive)
    if any(value == 0.0 for value in values.values()):
        ticks = {frozen_position: rate(0.0)} | ticks
    return MainAxis(
        title=_TITLES[protocol.name],
        group_title=_group_title(protocol),
        positions=positions,
        groups={trial.number: _group(protocol, trial.point) for trial in searched},
        ticks=ticks,
        is_connected=not isinstance(protocol, Staged)
        and not (isinstance(protocol, Uniform) and isinstance(protocol.ll, LogRange)),
    )


def point_label(protocol: Protocol, trial: Trial) -> str:
    """What a trial is, in a few words: `scale 2.5`, `scale 2.5, second seed`, or `baseline`."""
    if not trial.point:
        return "baseline"
    return _label(protocol, trial.point) + (", second seed" if trial.replicate else "")


def rates_label(rates: StageRates) -> str:
    """The six rates in a line: `frozen · 0.001 · 0.002 · …`."""
    return " · ".join(rate(value) for _, value in rates.items())


_TITLES = {
    "graduated": "scale of the graduated rates",
    "uniform": "inner-layer rate (IL)",
    "last_layer": "last-layer rate (LL)",
    "staged": "rate of the first stage that trains (IL)",
}


def _value(protocol: Protocol, point: Point) -> float:
    match protocol:
        case Graduated():
            return float(point["scale"])
        case LastLayer():
            return float(point["ll"])
        case Uniform():
            return float(min(point["il"], point["ll"]))
        case Staged():
            return 0.0 if int(point["frozen"]) == 5 else float(point["il"])


def _label(protocol: Protocol, point: Point) -> str:
    match protocol:
        case Graduated():
            which = point.get("multipliers")
            return f"scale {point['scale']:.3g}" + (
                f", multipliers {int(which) + 1}" if which is not None else ""
            )
        case LastLayer():
            return f"LL {point['ll']:.3g}"
        case Uniform():
            return f"IL {rate(point['il'])}, LL {point['ll']:.3g}"
        case Staged():
            frozen = int(point["frozen"])
            if frozen == 5:
                return f"all stages frozen, LL {point['ll']:.3g}"
            return (
                f"{frozen} frozen, IL {point['il']:.3g} × {point['growth']:.3g}, "
                f"LL {point['ll']:.3g}"
            )


def _group_title(protocol: Protocol) -> str | None:
    match protocol:
        case Graduated() if len(protocol.multipliers) > 1:
            return "multipliers"
        case Uniform():
            return "LL"
        case Staged():
            return "frozen stages"
        case _:
            return None


def _group(protocol: Protocol, point: Point) -> str:
    match protocol:
        case Graduated() if len(protocol.multipliers) > 1:
            multipliers = protocol.multipliers[int(point.get("multipliers", 0))]
            return " · ".join(f"{m:g}" for m in multipliers)
        case Uniform() if isinstance(protocol.ll, list):
            return f"{point['ll']:g}"
        case Uniform():  # a range: by decade, for a legend that can be read
            decade = floor(log10(point["ll"]))
            return f"{10.0**decade:g} to {10.0 ** (decade + 1):g}"
        case Staged():
            return str(int(point["frozen"]))
        case _:
            return ""


def _ticks(positive: list[float]) -> dict[float, str]:
    """A tick for each value where they are few, else for each 1, 2 and 5 of a decade."""
    distinct = sorted(set(positive))
    if len(distinct) <= 12:
        return {value: f"{value:g}" for value in distinct}
    low, high = floor(log10(distinct[0])), ceil(log10(distinct[-1]))
    steps = (1, 2, 5) if high - low <= 3 else (1,)
    candidates = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    return {
        value: f"{value:g}"
        for value in candidates
        if distinct[0] * 0.7 <= value <= distinct[-1] * 1.4
    }
