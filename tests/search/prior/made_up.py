"""Evidence that is small enough to see through."""

import numpy as np

from lrsearch.contract.protocols import Graduated
from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.search.baseline import BASELINE
from lrsearch.search.prior.coordinates import COORDINATES
from lrsearch.search.prior.evidence import Evidence, logit
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.process import Array, Kernel

KERNEL = Kernel(
    level=0.7,
    feature_level=0.5,
    common=0.6,
    featured=0.5,
    own=0.3,
    run=0.1,
    rate_lengths=(2.0,) * len(COORDINATES),
    feature_lengths=(2.0,) * len(FEATURES),
)

SCALES = (0.5, 2.0, 8.0)


def graduated(*scales: float) -> list[StageRates]:
    """Graduated rates of some scales."""
    return [Graduated().rates({"scale": scale}) for scale in scales]


def evidence(
    best: dict[str, float], seed: int = 0, images: int = 200, centre: float = 4.0
) -> Evidence:
    """Four tasks of each domain, with the baseline and three scales each.

    Args:
        best: By domain, the scale (of `SCALES`) that reaches 0.9; the others reach 0.6.
        seed: Of the tasks' features.
        images: Behind each accuracy.
        centre: Around which the features lie, with a deviation of 1.
    """
    generator = np.random.default_rng(seed)
    domains = [domain for domain in best for _ in range(4)]
    rates = [BASELINE, *graduated(*SCALES)]
    top1 = [
        [0.5, *(0.9 if scale == best[domain] else 0.6 for scale in SCALES)] for domain in domains
    ]
    shares = np.array(top1).reshape(-1)
    values, noise = logit(shares * images, np.full(len(shares), float(images)))
    return Evidence(
        names=[f"{domain}-{number % 4}" for number, domain in enumerate(domains)],
        domains=domains,
        features=generator.normal(centre, 1.0, (len(domains), len(FEATURES))),
        tasks=np.repeat(np.arange(len(domains)), len(rates)),
        rates=np.array([_row(each) for each in rates] * len(domains)),
        values=values,
        noise=noise,
    )


def prior(best: dict[str, float] | None = None) -> Prior:
    """A prior that knows two domains, whose best scale is 2 unless `best` says otherwise."""
    return Prior("made up", KERNEL, evidence(best or {"birds": 2.0, "signs": 2.0}))


def shops(best: float = 8.0) -> Evidence:
    """Twelve tasks of three domains, by their features unlike those that `prior` knows."""
    return evidence({f"shop-{number}": best for number in range(3)}, seed=3, centre=8.0)


def _row(rates: StageRates) -> Array:
    return np.array([rates[stage] for stage in STAGES])
