"""What each strategy proposes to try next."""

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from math import log10
from typing import Any

import pytest
from optuna.trial import FrozenTrial, create_trial
from structlog.testing import capture_logs

from lrsearch.contract.protocols import (
    Graduated,
    LastLayer,
    LogRange,
    Point,
    Protocol,
    Staged,
    Uniform,
)
from lrsearch.errors import InvalidError
from lrsearch.search import proposals
from lrsearch.search.baseline import BASELINE
from lrsearch.search.proposals import STARTUP_TRIALS, Tried, Unaided, propose, require_strategy
from tests.service.test_spaces import GRIDS

SAMPLERS: list[Unaided] = ["random", "tpe", "gp"]

CONTINUOUS: dict[str, Protocol] = {
    "last_layer": LastLayer(ll=LogRange(low=1e-3, high=1.0)),
    "uniform": Uniform(ll=LogRange(low=1e-3, high=1.0)),
    "graduated": Graduated(scale=LogRange(low=0.05, high=50.0)),
    "staged": Staged(),
}


def search(
    protocol: Protocol,
    strategy: Unaided,
    trials: int,
    seed: int = 0,
    accuracy: Callable[[Point], float | None] = lambda point: 0.5,
) -> list[Tried]:
    """Trials one after the other; one without an accuracy has diverged."""
    tried: list[Tried] = []
    while len(tried) < trials:
        point = propose(protocol, strategy, tried, seed, len(tried) + 1)
        if point is None:
            break
        val_top1 = accuracy(point)
        tried.append(Tried(point, "diverged" if val_top1 is None else "complete", val_top1))
    return tried


@pytest.mark.parametrize(("protocol", "points"), GRIDS.values(), ids=GRIDS)
def test_exhaustive_search_covers_each_point_once_but_for_the_baseline(
    protocol: Protocol, points: int
) -> None:
    tried = search(protocol, "exhaustive", trials=points + 1)
    expected = [point for point in protocol.points() if protocol.rates(point) != BASELINE]
    assert [trial.point for trial in tried] == expected


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        ("random", "uniform"),
        ("random", "staged"),
        ("tpe", "uniform"),
        ("tpe", "staged"),
        ("gp", "graduated"),
    ],
)
def test_a_sampler_covers_a_grid_without_repeating_a_point_and_ends(
    strategy: Unaided, name: str
) -> None:
    protocol, points = GRIDS[name]
    tried = [protocol.rates(trial.point) for trial in search(protocol, strategy, points + 1)]
    assert len(tried) == len(set(tried))
    assert {*tried, BASELINE} == {BASELINE, *map(protocol.rates, protocol.points())}


@pytest.mark.parametrize("strategy", SAMPLERS)
@pytest.mark.parametrize("protocol", CONTINUOUS.values(), ids=CONTINUOUS)
def test_a_sampler_stays_inside_the_space(strategy: Unaided, protocol: Protocol) -> None:
    for trial in search(protocol, strategy, trials=7):
        assert trial.point.keys() == protocol.axes.keys()
        for name, axis in protocol.axes.items():
            value = trial.point[name]
            assert axis.low <= value <= axis.high if isinstance(axis, LogRange) else value in axis
        protocol.rates(trial.point)  # valid: no inner rate exceeds the head's


@pytest.mark.parametrize("strategy", SAMPLERS)
def test_the_same_seed_and_number_propose_the_same_point(strategy: Unaided) -> None:
    tried = search(Staged(), "random", trials=6)
    points = [propose(Staged(), strategy, tried, seed=3, number=7) for _ in range(2)]
    assert points[0] == points[1]


@pytest.mark.parametrize("strategy", SAMPLERS)
def test_another_seed_or_number_proposes_another_point(strategy: Unaided) -> None:
    point = propose(Staged(), strategy, [], seed=3, number=1)
    assert point != propose(Staged(), strategy, [], seed=3, number=2)
    assert point != propose(Staged(), strategy, [], seed=4, number=1)


def test_tpe_is_asked_for_its_next_best_where_it_would_repeat_a_point() -> None:
    """It is not given the first point of the grid that is left."""
    first_left = []
    for seed in range(5):
        tried = search(Graduated(), "tpe", 9, seed, lambda point: -abs(point["scale"] - 4.0))
        left = Graduated().points()
        for number, trial in enumerate(tried, start=1):
            first_left += [trial.point == left[0]] if number > STARTUP_TRIALS else []
            left.remove(trial.point)
    assert sum(first_left) < len(first_left) / 2


def test_trials_of_one_lease_are_not_alike() -> None:
    tried = search(Staged(), "tpe", trials=10)
    for number in range(11, 15):
        point = propose(Staged(), "tpe", tried, seed=0, number=number)
        assert point is not None
        assert point not in [trial.point for trial in tried]
        tried.append(Tried(point, "running", None))


def test_tpe_learns_where_trials_are_good() -> None:
    def accuracy(point: Point) -> float:
        return (
            1.0
            - 0.15 * abs(point["frozen"] - 2)
            - 0.2 * abs(log10(point["il"]) + 3.0)
            - 0.2 * abs(log10(point["ll"]) + 1.3)
        )

    late = {
        strategy: [
            accuracy(trial.point)
            for seed in range(5)
            for trial in search(Staged(), strategy, 30, seed, accuracy)[20:]
        ]
        for strategy in ("random", "tpe")
    }
    assert _mean(late["tpe"]) > _mean(late["random"]) + 0.15


def test_tpe_keeps_away_from_rates_that_diverge() -> None:
    """The best rates lie just below those that diverge, as they do in practice."""

    def accuracy(point: Point) -> float | None:
        return None if point["scale"] > 2.0 else 0.5 + 0.1 * log10(point["scale"])

    protocol = CONTINUOUS["graduated"]
    late = [trial for seed in range(4) for trial in search(protocol, "tpe", 28, seed, accuracy)[8:]]
    assert sum(trial.state == "diverged" for trial in late) < len(late) / 2


@pytest.mark.parametrize("strategy", SAMPLERS)
@pytest.mark.parametrize("state", ["diverged", "failed", "pruned", "cancelled", "running"])
def test_a_trial_without_a_score_gives_the_sampler_none(
    strategy: Unaided, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FrozenTrial] = []

    def spy(**kwargs: Any) -> FrozenTrial:
        seen.append(create_trial(**kwargs))
        return seen[-1]

    monkeypatch.setattr(proposals, "create_trial", spy)
    tried = [*search(Staged(), "random", trials=6), Tried(_point(), state, None)]
    seen.clear()
    assert propose(Staged(), strategy, tried, seed=0, number=8) is not None
    assert [trial.value for trial in seen] == [0.5] * 6 + [None]
    assert seen[-1].intermediate_values == {}


def test_a_sampler_that_fails_is_replaced_by_a_random_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ArithmeticError("the matrix is singular")

    monkeypatch.setattr(proposals, "TPESampler", fail)
    tried = search(Staged(), "random", trials=8)
    with capture_logs() as logs:
        point = propose(Staged(), "tpe", tried, seed=0, number=9)
    assert point == propose(Staged(), "random", tried, seed=0, number=9)
    assert [entry["log_level"] for entry in logs] == ["error"]


@pytest.mark.parametrize("missing", ["torch", "scipy"])
def test_gp_without_its_libraries_is_refused_with_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == missing else importlib.util.find_spec(name)

    monkeypatch.setattr(proposals, "find_spec", find_spec)
    with pytest.raises(InvalidError, match=r"lrsearch\[service,gp\]") as caught:
        require_strategy("gp")
    assert caught.value.code == "strategy_unavailable"
    require_strategy("tpe")


def test_gp_with_its_libraries_is_there() -> None:
    require_strategy("gp")


def _point() -> Point:
    return {"frozen": 1, "il": 0.001, "growth": 2.0, "ll": 0.1}


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
