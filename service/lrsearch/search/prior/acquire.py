"""What to try next on a task, by what the prior believes after what was tried."""

from collections.abc import Sequence
from math import erf, exp, pi, sqrt

import numpy as np

from lrsearch.contract.rates import StageRates
from lrsearch.search.prior.features import Vector
from lrsearch.search.prior.prior import Belief, Observation, Prior


def choose(
    prior: Prior,
    features: Vector,
    candidates: Sequence[StageRates],
    seen: Sequence[Observation],
    pending: Sequence[StageRates] = (),
) -> int:
    """Index of the candidate to try next.

    The first finetune is the one of the highest expected accuracy. Each later one has the highest
    expected improvement on the best that was tried; trials that are not over yet count as if they
    had reached what is expected of them, so that those of a group differ.

    Args:
        prior: What other tasks teach.
        features: Of the task.
        candidates: Rates to choose from, at least one.
        seen: What was tried, the baseline first.
        pending: Rates of trials that are not over yet.
    """
    seen = [*seen, *_fantasies(prior, features, seen, pending)]
    tried = [each.rates for each in seen]
    belief = prior.believe(features, [*candidates, *tried], seen)
    shares, count = belief.shares(), len(candidates)
    if len(tried) <= 1:
        return int(shares[:count].argmax())
    incumbent = count + int(shares[count:].argmax())
    gains = [_expected_improvement(belief, index, incumbent) for index in range(count)]
    return int(np.argmax(gains))


def _fantasies(
    prior: Prior,
    features: Vector,
    seen: Sequence[Observation],
    pending: Sequence[StageRates],
) -> list[Observation]:
    if not pending or not seen:
        return []
    expected = prior.believe(features, pending, seen).shares()
    images = seen[0].val_images
    return [
        Observation(rates, float(share), images)
        for rates, share in zip(pending, expected, strict=True)
    ]


def _expected_improvement(belief: Belief, index: int, incumbent: int) -> float:
    """Of one on the other, in logits."""
    mean, covariance = belief.logits
    difference = float(mean[index] - mean[incumbent])
    variance = covariance[index, index] + covariance[incumbent, incumbent]
    deviation = sqrt(max(float(variance - 2.0 * covariance[index, incumbent]), 1e-12))
    u = difference / deviation
    return deviation * (u * 0.5 * (1.0 + erf(u / sqrt(2.0))) + exp(-0.5 * u * u) / sqrt(2.0 * pi))
