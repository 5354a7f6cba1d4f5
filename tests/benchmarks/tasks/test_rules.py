"""Published rules for stage rates."""

from itertools import pairwise

import pytest

from lrsearch.contract.probes import StageRatios
from lrsearch.contract.rates import INNER_STAGES, STAGES
from tests.benchmarks.tasks.points import LAYERS
from tests.benchmarks.tasks.rules import discriminative, relative_gradients
from tests.probes import a_probe


def test_each_stages_discriminative_rate_is_the_next_ones_by_2_6() -> None:
    space = discriminative()
    rates = [space.rates(point) for point in space.points()]
    assert [each.head for each in rates] == [0.03, 0.1, 0.2, 0.4]
    for each in rates:
        for stage, after in pairwise(STAGES):
            assert each[after] / each[stage] == pytest.approx(2.6)


def test_auto_rgn_rates_go_with_the_probes_gradient_ratios() -> None:
    probe = a_probe(
        gradient_ratios=StageRatios(
            conv1=0.1, conv2=0.06, conv3=0.05, conv4=0.02, conv5=0.01, head=0.4
        )
    )
    space = relative_gradients(probe)
    rates = {tuple(point.values()): space.rates(point) for point in space.points()}
    assert len(rates) == 6
    paper = rates[0.1, 0]
    assert paper.head == pytest.approx(0.3)
    inner = rates[0.1, 1]
    assert inner.head == inner.conv1 == pytest.approx(0.1)
    for each, largest in ((paper, 0.3 * 0.1 / 0.4), (inner, 0.1)):
        expected = [largest * share for share in (1.0, 0.6, 0.5, 0.2, 0.1)]
        assert [each[stage] for stage in INNER_STAGES] == pytest.approx(expected)


def test_auto_rgn_lowers_an_inner_rate_to_the_heads() -> None:
    ratios = StageRatios(conv1=0.8, conv2=0.2, conv3=None, conv4=0.1, conv5=0.1, head=0.4)
    space = relative_gradients(a_probe(gradient_ratios=ratios))
    rates = space.rates({"scale": 0.1, "multipliers": 0})
    assert rates.conv1 == rates.head == pytest.approx(0.15)
    assert rates.conv2 == pytest.approx(0.075)
    assert rates.conv3 == 0.0


def test_a_layer_that_follows_from_the_task_asks_for_its_probe() -> None:
    with pytest.raises(ValueError, match="auto_rgn follows from the tasks' probes; `look` at them"):
        LAYERS["auto_rgn"].space(None)
    assert LAYERS["graduated"].space(None) == LAYERS["graduated"].space(a_probe())
