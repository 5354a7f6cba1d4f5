"""What to try next.

A strategy sees what the job's trials have given and proposes a point of the protocol. The samplers
are Optuna's, asked on a study in memory that is made anew from our own trials: an abandoned trial
cannot stay RUNNING in it (five of those ruin TPE), two replicas see the same history, and asking
takes milliseconds. Each proposal's sampler is seeded from the job's seed and the trial's number, so
that it can be repeated.
"""

from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from typing import Final, Literal

import optuna
import structlog
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from lrsearch.contract.jobs import Strategy
from lrsearch.contract.protocols import Point, Protocol, is_finite
from lrsearch.contract.rates import StageRates
from lrsearch.errors import invalid_field
from lrsearch.search.baseline import BASELINE
from lrsearch.search.spaces import Space, sampling_space

log = structlog.get_logger(__name__)

Unaided = Literal["exhaustive", "random", "tpe", "gp"]
"""Strategies that go by the job's own trials alone. For `recommend` see `search.recommend`."""

STARTUP_TRIALS = 5
"""Random points before TPE and GP model anything: Optuna's 10 is half of a usual budget here."""

ATTEMPTS_AT_A_NEW_POINT = 20
"""How often a sampler may repeat a point of a grid before the first untried one is taken."""


_SEEN_AS: Final[dict[str, OptunaState]] = {
    "waiting": OptunaState.RUNNING,
    "running": OptunaState.RUNNING,
    "complete": OptunaState.COMPLETE,
    # Rates that did badly: TPE keeps away from them, though they have no score.
    "pruned": OptunaState.PRUNED,
    "diverged": OptunaState.PRUNED,
    # Says nothing of the rates.
    "failed": OptunaState.FAIL,
    "cancelled": OptunaState.FAIL,
}


@dataclass(frozen=True)
class Tried:
    """A trial that exists: its point, and its accuracy once it is known."""

    point: Point
    state: str  # contract.trials.TrialState
    val_top1: float | None


def propose(
    protocol: Protocol, strategy: Unaided, tried: list[Tried], seed: int, number: int
) -> Point | None:
    """The point of trial `number`, or None where every point has been tried.

    Args:
        protocol: the space.
        strategy: how to search it.
        tried: the job's other trials, in the order of their numbers.
        seed: the job's seed.
        number: of the trial that the point is for; 1 or more.
    """
    seen = {BASELINE, *(protocol.rates(trial.point) for trial in tried if trial.point)}
    untried = _untried(protocol, seen) if is_finite(protocol) else None
    if untried == []:
        return None
    if strategy == "exhaustive":
        return untried[0] if untried else None
    point = _sample(protocol, strategy, _seed(seed, number), tried, seen)
    return point if untried is None or protocol.rates(point) not in seen else untried[0]


def require_strategy(strategy: Strategy) -> None:
    """Raise `InvalidError` where this installation lacks what a strategy needs."""
    if strategy == "gp" and not (find_spec("torch") and find_spec("scipy")):
        raise invalid_field(
            "strategy",
            "'gp' needs torch and scipy, which this service was installed without; install "
            "lrsearch[service,gp], or choose 'tpe'",
            "gp",
            code="strategy_unavailable",
        )


def _untried(protocol: Protocol, seen: set[StageRates]) -> list[Point]:
    return [point for point in protocol.points() if protocol.rates(point) not in seen]


def _sample(
    protocol: Protocol, strategy: Unaided, seed: int, tried: list[Tried], seen: set[StageRates]
) -> Point:
    try:
        return _ask(protocol, _sampler(strategy, seed), tried, seen)
    except Exception:  # a model that cannot be fitted must not hold up the queue
        log.exception("the sampler failed; a point is drawn at random", strategy=strategy)
        return _ask(protocol, RandomSampler(seed=seed), tried, seen)


def _ask(
    protocol: Protocol, sampler: BaseSampler, tried: list[Tried], seen: set[StageRates]
) -> Point:
    space = sampling_space(protocol)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(direction="maximize", sampler=sampler)
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.add_trials([_frozen(trial, space) for trial in tried if trial.point])
    point: Point = {}
    for _ in range(ATTEMPTS_AT_A_NEW_POINT if is_finite(protocol) else 1):
        point = dict(study.ask(space).params)  # stays RUNNING: the next one is asked to differ
        if protocol.rates(point) not in seen:
            break
    return point


def _frozen(trial: Tried, space: Space) -> FrozenTrial:
    return create_trial(
        state=_SEEN_AS[trial.state],
        value=trial.val_top1,
        params=trial.point,
        distributions=space,
    )


def _sampler(strategy: Unaided, seed: int) -> BaseSampler:
    match strategy:
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        case _:
            return RandomSampler(seed=seed)


def _seed(job_seed: int, number: int) -> int:
    return int.from_bytes(sha256(f"{job_seed}:{number}".encode()).digest()[:4])
