"""Protocols as Optuna search spaces."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from lrsearch.contract.protocols import LogRange, Protocol

Space = dict[str, BaseDistribution]


def sampling_space(protocol: Protocol) -> Space:
    """What a sampler draws from: ranges on a log axis, lists as choices."""
    return {
        name: FloatDistribution(axis.low, axis.high, log=True)
        if isinstance(axis, LogRange)
        else CategoricalDistribution(axis)
        for name, axis in protocol.axes.items()
    }


def ledger_space(protocol: Protocol) -> Space:
    """What the study that users inspect shows: numbers on axes, wherever a list permits it."""
    return {name: _shown(axis) for name, axis in protocol.axes.items()}


def _shown(axis: LogRange | list[float] | list[int]) -> BaseDistribution:
    if isinstance(axis, LogRange):
        return FloatDistribution(axis.low, axis.high, log=True)
    if all(isinstance(value, int) for value in axis):
        return IntDistribution(int(min(axis)), int(max(axis)))
    if min(axis) > 0.0:
        return FloatDistribution(min(axis), max(axis), log=True)
    return CategoricalDistribution(axis)  # 0 (frozen) has no place on a log axis
