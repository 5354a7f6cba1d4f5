"""What strategy `recommend` tries next: what other tasks and the task's own trials promise most."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from lrsearch.contract.protocols import Point, Protocol
from lrsearch.contract.rates import StageRates
from lrsearch.search.baseline import BASELINE
from lrsearch.search.known import KnownTask
from lrsearch.search.prior.acquire import choose
from lrsearch.search.prior.candidates import candidate_points, further_points


class Expectation(NamedTuple):
    """What is expected of rates before they are tried; deviations are standard deviations."""

    top1: float
    """Accuracy."""
    deviation: float
    """Of the accuracy, to first order."""
    gain_points: float
    """The accuracy minus what is expected of the baseline, in percentage points."""
    gain_deviation_points: float
    """In percentage points."""


class Recommended(NamedTuple):
    """Where to go next, and why."""

    point: Point
    expected: Expectation


def recommend(protocol: Protocol, task: KnownTask) -> Recommended | None:
    """The point to try next, or None where every candidate has been tried.

    The first is the one of the highest expected accuracy. Nothing in it is random.

    Args:
        protocol: The space, which any may be.
        task: What is known so far.
    """
    tried = {BASELINE, *(each.rates for each in task.finetunes)}
    untried = _untried(candidate_points(protocol), protocol, tried)
    untried = untried or _untried(further_points(protocol), protocol, tried)
    if not untried:
        return None
    candidates = list(untried)
    chosen = choose(task.prior, task.features, candidates, task.lessons, task.pending)
    rates = candidates[chosen]
    return Recommended(untried[rates], _expectation(task, rates))


def _untried(
    points: Sequence[Point], protocol: Protocol, tried: Collection[StageRates]
) -> dict[StageRates, Point]:
    """Points by their rates, each of which is there once."""
    by_rates = {protocol.rates(point): point for point in reversed(points)}
    return {rates: by_rates[rates] for rates in reversed(by_rates) if rates not in tried}


def _expectation(task: KnownTask, rates: StageRates) -> Expectation:
    belief = task.prior.believe(task.features, [rates, BASELINE], task.lessons)
    top1, baseline = (float(share) for share in belief.shares())
    median = 1.0 / (1.0 + np.exp(-belief.logits.mean[0]))
    return Expectation(
        top1=top1,
        deviation=float(median * (1.0 - median) * belief.logits.deviation[0]),
        gain_points=100.0 * (top1 - baseline),
        gain_deviation_points=100.0 * belief.share_difference_deviation(0, 1),
    )
