"""Why the prior recommends what it does."""

from collections.abc import Collection, Sequence
from math import log
from typing import Final

import numpy as np

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recommendations import Explanation, FeatureEffect, NearTask
from lrsearch.search.prior.features import FEATURES, Vector
from lrsearch.search.prior.prior import Prior, Ranked

SHORTLIST: Final = 64
"""Of more candidates, only so many of the highest medians are ranked by expected accuracy."""

_SHORT: Final = 4
"""The same, where it is only asked which would come first."""

_NEAREST: Final = 3

_LINEAR: Final = frozenset({"linear accuracy"})
"""Features that are no logarithms of base 2."""

_LARGEST_LOG: Final = 1000.0


def rank_fast(prior: Prior, features: Vector, candidates: Sequence[StageRates]) -> list[Ranked]:
    """What `Prior.rank` gives, of the best candidates alone where there are many.

    Means are cheap and deviations are not, and one decides little without the other: of more than
    `SHORTLIST` candidates, those of the highest medians are ranked.

    Args:
        prior: What other tasks teach.
        features: Of the task.
        candidates: Rates to choose from, at least one.
    """
    means = prior.means(features[None, :], candidates)[0]
    return _rank_shortlist(prior, features, candidates, means, SHORTLIST)


def explain(
    prior: Prior,
    features: Vector,
    candidates: Sequence[StageRates],
    chosen: StageRates,
    known: Collection[str] = FEATURES,
) -> Explanation:
    """What made the prior choose some rates.

    Each feature's effect is found by ranking the candidates again with that feature alone at its
    mean over the evidence, all else being as it is.

    Args:
        prior: What other tasks teach.
        features: Of the task.
        candidates: Rates that were chosen from.
        chosen: The best of them.
        known: Names of the features that are of the task itself.
    """
    evidence = prior.evidence
    mean, spread = evidence.features.mean(axis=0), evidence.features.std(axis=0)
    elsewhere = np.where(np.eye(len(FEATURES), dtype=bool), mean, features)
    means = prior.means(elsewhere, candidates)
    effects = []
    for place, name in enumerate(FEATURES):
        first = chosen
        if features[place] != mean[place]:
            ranked = _rank_shortlist(prior, elsewhere[place], candidates, means[place], _SHORT)
            first = ranked[0].rates
        effects.append(
            FeatureEffect(
                name=name,
                value=_shown(name, features[place]),
                known=name in known,
                typical=_shown(name, mean[place]),
                typical_low=_shown(name, mean[place] - spread[place]),
                typical_high=_shown(name, mean[place] + spread[place]),
                rates_if_typical=first,
                head_factor=chosen.head / first.head,
            )
        )
    similarities = prior.similarities(features)
    nearest = np.argsort(-similarities, kind="stable")[:_NEAREST]
    return Explanation(
        features=sorted(effects, key=lambda effect: -abs(log(effect.head_factor))),
        nearest_tasks=[
            NearTask(
                name=evidence.names[task],
                domain=evidence.domains[task],
                similarity=min(float(similarities[task]), 1.0),
            )
            for task in nearest
        ],
    )


def _rank_shortlist(
    prior: Prior, features: Vector, candidates: Sequence[StageRates], means: Vector, length: int
) -> list[Ranked]:
    best = sorted(np.argsort(-means, kind="stable")[:length].tolist())
    return prior.rank(features, [candidates[index] for index in best])


def _shown(name: str, value: float) -> float:
    """A feature as people count it: images, not their logarithm."""
    return float(value) if name in _LINEAR else float(2.0 ** min(value, _LARGEST_LOG))
