"""Protocols as search spaces: their points, their rates, and the baseline among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from lrsearch.contract.protocols import Graduated, LastLayer, LogRange, Protocol, Staged, Uniform
from lrsearch.contract.rates import INNER_STAGES, StageRates
from lrsearch.search.baseline import BASELINE, baseline_point
from lrsearch.search.spaces import ledger_space, sampling_space

MULTIPLIERS = [(0.0, 1.0, 2.0, 4.0, 8.0, 16.0), (1.0, 1.0, 1.0, 1.0, 1.0, 10.0)]

GRIDS: dict[str, tuple[Protocol, int]] = {
    "last_layer": (LastLayer(), 2),
    "uniform": (Uniform(), 9),  # of 10, the one with IL 0.1 and LL 0.01 is left out
    "graduated": (Graduated(), 11),
    "graduated, two sets": (Graduated(multipliers=MULTIPLIERS), 22),
    # With all stages frozen IL and growth mean nothing: two of its points, one a rate of the head.
    "staged": (Staged(frozen=[0, 5], il=[0.001, 0.01], growth=[1.0, 2.0], ll=[0.01, 0.1]), 9),
}

rates = st.floats(1e-6, 1e2)


@pytest.mark.parametrize(("protocol", "points"), GRIDS.values(), ids=GRIDS)
def test_a_grids_points_all_differ_in_their_rates(protocol: Protocol, points: int) -> None:
    grid = protocol.points()
    assert len(grid) == len({protocol.rates(point) for point in grid}) == points
    assert all(point.keys() == protocol.axes.keys() for point in grid)


@pytest.mark.parametrize(("protocol", "_"), GRIDS.values(), ids=GRIDS)
def test_no_inner_rate_of_a_grid_exceeds_the_heads(protocol: Protocol, _: int) -> None:
    for point in protocol.points():
        _assert_il_up_to_ll(protocol.rates(point))


@given(il=rates, ll=rates)
def test_a_sampled_uniform_point_has_its_il_lowered_to_ll(il: float, ll: float) -> None:
    protocol = Uniform(il=LogRange(low=1e-6, high=1e2), ll=LogRange(low=1e-6, high=1e2))
    assert protocol.rates({"il": il, "ll": ll}) == StageRates.of(inner=min(il, ll), head=ll)


@given(frozen=st.integers(0, 5), il=rates, growth=st.floats(0.01, 100.0), ll=rates)
def test_a_staged_point_freezes_the_first_stages_and_stays_up_to_ll(
    frozen: int, il: float, growth: float, ll: float
) -> None:
    result = Staged().rates({"frozen": frozen, "il": il, "growth": growth, "ll": ll})
    _assert_il_up_to_ll(result)
    assert result.frozen_prefix == frozen
    assert result.head == ll
    if frozen < 5:
        assert result[INNER_STAGES[frozen]] == min(il, ll)


@given(scale=st.floats(0.01, 100.0), chosen=st.integers(0, 1))
def test_a_graduated_point_scales_base_times_multipliers(scale: float, chosen: int) -> None:
    protocol = Graduated(base=0.002, multipliers=MULTIPLIERS)
    result = protocol.rates({"scale": scale, "multipliers": chosen})
    _assert_il_up_to_ll(result)
    expected = [0.002 * scale * multiplier for multiplier in MULTIPLIERS[chosen]]
    assert [rate for _, rate in result.items()] == pytest.approx(expected)


def test_the_last_layer_protocol_freezes_all_inner_stages() -> None:
    for point in LastLayer().points():
        assert LastLayer().rates(point) == StageRates.of(inner=0.0, head=point["ll"])


@pytest.mark.parametrize(
    ("protocol", "point"),
    [
        (LastLayer(), {"ll": 0.01}),
        (Uniform(), {"il": 0.0, "ll": 0.01}),
        (Graduated(), {}),
        (LastLayer(ll=LogRange(low=0.001, high=0.1)), {}),
    ],
)
def test_the_baseline_has_the_point_at_which_it_lies_in_a_grid(
    protocol: Protocol, point: dict[str, float]
) -> None:
    assert baseline_point(protocol) == point


def test_the_baseline_is_a_frozen_network_with_a_head_at_ten_times_the_base_rate() -> None:
    assert StageRates.of(inner=0.0, head=0.01) == BASELINE


def test_a_sampler_draws_ranges_on_a_log_axis_and_lists_as_choices() -> None:
    assert sampling_space(Uniform(ll=LogRange(low=0.001, high=1.0))) == {
        "il": CategoricalDistribution([0.0, 1e-4, 1e-3, 1e-2, 1e-1]),
        "ll": FloatDistribution(0.001, 1.0, log=True),
    }


def test_the_ledger_shows_numbers_on_axes_and_frozen_as_a_choice() -> None:
    assert ledger_space(Graduated(multipliers=MULTIPLIERS)) == {
        "scale": FloatDistribution(0.25, 10.0, log=True),
        "multipliers": IntDistribution(0, 1),
    }
    assert ledger_space(Uniform())["il"] == CategoricalDistribution([0.0, 1e-4, 1e-3, 1e-2, 1e-1])
    assert ledger_space(Staged())["frozen"] == IntDistribution(0, 5)


@pytest.mark.parametrize(("protocol", "_"), GRIDS.values(), ids=GRIDS)
def test_the_ledger_takes_every_point_of_a_grid(protocol: Protocol, _: int) -> None:
    space = ledger_space(protocol)
    for point in protocol.points():
        for name, value in point.items():
            assert space[name]._contains(space[name].to_internal_repr(value))


def _assert_il_up_to_ll(result: StageRates) -> None:
    assert max(result[stage] for stage in INNER_STAGES) <= result.head
