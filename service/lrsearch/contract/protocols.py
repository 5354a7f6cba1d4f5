"""Protocols: the named search spaces of stage rates.

A protocol turns a *point* (the values of what it searches) into stage rates. Where every axis is
a list, its points can be enumerated; where one is a log range, only a sampling strategy can search.
Frozen is a choice of its own everywhere, never a tiny number on a log axis.
"""

from itertools import product
from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import MAX_RATE, Contract, PositiveRate, Rate
from lrsearch.contract.rates import INNER_STAGES, StageRates

Point = dict[str, float | int]
"""The value that a trial takes on each axis of its protocol."""

PAPER_SCALES = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""The 11 scales of the paper's section 4.3."""

MAX_POINTS = 10_000
"""Of a grid: far more than anybody finetunes, few enough to be gone through at every claim."""

PositiveFactor = Annotated[float, Field(gt=0.0, le=1e3, allow_inf_nan=False)]
Factor = Annotated[float, Field(ge=0.0, le=1e3, allow_inf_nan=False)]


class LogRange(Contract):
    """All values from `low` to `high`, searched on a logarithmic axis."""

    low: PositiveRate = Field(description="Smallest value; above 0.")
    high: PositiveRate = Field(description="Largest value.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


Axis = Annotated[list[PositiveFactor], Field(min_length=1, max_length=1000)] | LogRange
"""Values to choose from, or a log range."""

InnerAxis = Annotated[list[Rate], Field(min_length=1, max_length=1000)] | LogRange
"""Like `Axis`, where 0 (frozen) may be among the values."""


Axes = dict[str, Axis | InnerAxis | list[int]]
"""What a protocol searches, by name."""


class LastLayer(Contract):
    """Only the last layer is trained: IL = 0 (paper, section 4.1, Table 1)."""

    name: Literal["last_layer"] = "last_layer"
    ll: Axis = Field(default=[0.01, 0.1], description="Last-layer rates (LL).")

    @property
    def axes(self) -> Axes:
        """What is searched, by name."""
        return {"ll": self.ll}

    def rates(self, point: Point) -> StageRates:
        """Stage rates at a point."""
        return StageRates.of(inner=0.0, head=point["ll"])

    def points(self) -> list[Point]:
        """Every point; raises `ValueError` where an axis is a range."""
        return _grid(self.axes)


class Uniform(Contract):
    """One rate for all inner stages, another for the head (paper, 4.2, Figs. 6 to 8, Table 2).

    Points with IL > LL are left out of a grid; sampled ones have IL lowered to LL.
    """

    name: Literal["uniform"] = "uniform"
    il: InnerAxis = Field(
        default=[0.0, 1e-4, 1e-3, 1e-2, 1e-1], description="Inner-layer rates (IL); 0 freezes."
    )
    ll: Axis = Field(default=[0.01, 0.1], description="Last-layer rates (LL).")

    @model_validator(mode="after")
    def _some_point_has_il_up_to_ll(self) -> Self:
        if _lowest(self.il) > _highest(self.ll):
            raise ValueError(
                f"no point has IL ≤ LL: the smallest IL is {_lowest(self.il):g}, "
                f"the largest LL is {_highest(self.ll):g}"
            )
        return self

    @property
    def axes(self) -> Axes:
        """What is searched, by name."""
        return {"il": self.il, "ll": self.ll}

    def rates(self, point: Point) -> StageRates:
        """Stage rates at a point."""
        return StageRates.of(inner=min(point["il"], point["ll"]), head=point["ll"])

    def points(self) -> list[Point]:
        """Every point with IL ≤ LL; raises `ValueError` where an axis is a range."""
        return [point for point in _grid(self.axes) if point["il"] <= point["ll"]]


Multipliers = tuple[Factor, Factor, Factor, Factor, Factor, PositiveFactor]
"""`IL_1` … `IL_5` and the head's multiplier."""


class Graduated(Contract):
    """Slow early stages, fast late ones: base × multipliers × scale (paper, 4.3, Fig. 10)."""

    name: Literal["graduated"] = "graduated"
    base: PositiveRate = Field(default=0.001, description="What the multipliers multiply.")
    multipliers: Annotated[list[Multipliers], Field(min_length=1, max_length=100)] = Field(
        default=[(0.0, 1.0, 2.0, 4.0, 8.0, 16.0)],
        description="Sets of IL_1 … IL_5 and the head's multiplier; 0 freezes a stage.",
    )
    scale: Axis = Field(default=list(PAPER_SCALES), description="Factors on all the multipliers.")

    @model_validator(mode="after")
    def _inner_not_above_head(self) -> Self:
        for multipliers in self.multipliers:
            if max(multipliers[:-1]) > multipliers[-1]:
                raise ValueError(
                    f"multipliers {list(multipliers)}: an inner stage's exceeds the head's "
                    f"{multipliers[-1]:g}; IL may not exceed LL"
                )
        return self

    @model_validator(mode="after")
    def _every_scale_gives_rates(self) -> Self:
        heads = [multipliers[-1] for multipliers in self.multipliers]
        for scale, head in ((_lowest(self.scale), min(heads)), (_highest(self.scale), max(heads))):
            rate = self.base * scale * head
            if not 0.0 < rate <= MAX_RATE:
                raise ValueError(
                    f"base {self.base:g} × scale {scale:g} × the head's multiplier {head:g} gives "
                    f"rate {rate:g}; it must be above 0 and at most {MAX_RATE:g}"
                )
        return self

    @property
    def axes(self) -> Axes:
        """What is searched, by name; which set of multipliers only where there are several."""
        if len(self.multipliers) == 1:
            return {"scale": self.scale}
        return {"scale": self.scale, "multipliers": list(range(len(self.multipliers)))}

    def rates(self, point: Point) -> StageRates:
        """Stage rates at a point."""
        *inner, head = self.multipliers[int(point.get("multipliers", 0))]
        factor = self.base * point["scale"]
        stages = {stage: factor * m for stage, m in zip(INNER_STAGES, inner, strict=True)}
        return StageRates(**stages, head=factor * head)

    def points(self) -> list[Point]:
        """Every point; raises `ValueError` where an axis is a range."""
        return _grid(self.axes)


FrozenStages = Annotated[int, Field(ge=0, le=5)]


class Staged(Contract):
    """The joint space that the paper asks for: frozen stages, IL, growth per stage and LL.

    The first stage that trains has rate IL, each one after it `growth` times its predecessor's, and
    none more than LL.
    """

    name: Literal["staged"] = "staged"
    frozen: Annotated[list[FrozenStages], Field(min_length=1, max_length=6)] = Field(
        default=[0, 1, 2, 3, 4, 5], description="How many stages are frozen, from the input on."
    )
    il: Axis = Field(
        default=LogRange(low=1e-5, high=1e-1), description="Rate of the first stage that trains."
    )
    growth: Axis = Field(
        default=LogRange(low=1.0, high=4.0), description="Factor from a stage's rate to the next's."
    )
    ll: Axis = Field(default=LogRange(low=1e-3, high=0.5), description="Last-layer rate (LL).")

    @property
    def axes(self) -> Axes:
        """What is searched, by name."""
        return {"frozen": list(self.frozen), "il": self.il, "growth": self.growth, "ll": self.ll}

    def rates(self, point: Point) -> StageRates:
        """Stage rates at a point."""
        frozen = int(point["frozen"])
        stages = {
            stage: 0.0
            if i < frozen
            else min(point["il"] * point["growth"] ** (i - frozen), point["ll"])
            for i, stage in enumerate(INNER_STAGES)
        }
        return StageRates(**stages, head=point["ll"])

    def points(self) -> list[Point]:
        """Every point that differs in its rates; raises `ValueError` where an axis is a range."""
        distinct = {self.rates(point): point for point in reversed(_grid(self.axes))}
        return list(reversed(distinct.values()))


Protocol = Annotated[LastLayer | Uniform | Graduated | Staged, Field(discriminator="name")]


def is_finite(protocol: LastLayer | Uniform | Graduated | Staged) -> bool:
    """Whether the protocol's points can be enumerated: no axis is a range."""
    return not any(isinstance(axis, LogRange) for axis in protocol.axes.values())


def grid_size(protocol: LastLayer | Uniform | Graduated | Staged) -> int:
    """Combinations of a finite protocol's values; at least as many as it has points."""
    return prod(len(axis) for axis in protocol.axes.values() if not isinstance(axis, LogRange))


def _grid(axes: Axes) -> list[Point]:
    ranges = [name for name, axis in axes.items() if isinstance(axis, LogRange)]
    if ranges:
        raise ValueError(f"{', '.join(ranges)}: a range has no finite number of points")
    values = [axis for axis in axes.values() if not isinstance(axis, LogRange)]
    return [dict(zip(axes, combination, strict=True)) for combination in product(*values)]


def _lowest(axis: InnerAxis) -> float:
    return axis.low if isinstance(axis, LogRange) else min(axis)


def _highest(axis: Axis) -> float:
    return axis.high if isinstance(axis, LogRange) else max(axis)
