"""What a task's features are, with and without a probe; and where stage rates lie."""

import numpy as np
import pytest

from lrsearch.contract.datasets import Spread
from lrsearch.contract.probes import StageRatios
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.search.prior.coordinates import COORDINATES, coordinates
from lrsearch.search.prior.features import FEATURES, task_features
from lrsearch.search.prior.sizes import SIZES, features_of_sizes
from tests.probes import a_probe
from tests.search.prior.made_up import evidence

RATIOS = {"conv1": 0.25, "conv2": 9.0, "conv3": 9.0, "conv4": 9.0, "conv5": 0.125, "head": 9.0}


def named(features: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    return dict(zip(FEATURES, features.tolist(), strict=True))


def test_features_are_counted_in_doublings() -> None:
    probe = a_probe(
        images=65,
        labels=4,
        images_per_label=Spread(min=1, median=16, max=40),
        chance=0.25,
        linear_top1=0.7,
        head_losses=[2.0, 1.5, 0.5],
        gradient_ratios=StageRatios(**RATIOS),
    )

    assert named(task_features(probe, Recipe(epochs=8, batch_size=32))) == pytest.approx(
        {
            "images per label": 4.0,
            "labels": 2.0,
            "steps": np.log2(8 * 3),
            "linear accuracy": 0.6,
            "head loss": -2.0,
            "late gradient": -3.0,
            "early gradient": -2.0,
        }
    )


def test_what_a_probe_could_not_find_has_a_value_too() -> None:
    nothing = StageRatios(**dict.fromkeys(RATIOS))
    probe = a_probe(knn_top1=None, linear_top1=None, head_losses=[], gradient_ratios=nothing)

    found = named(task_features(probe, Recipe()))

    assert found["linear accuracy"] == 0.0
    assert found["head loss"] == 0.0
    assert found["late gradient"] < -15.0


def test_neighbours_stand_in_for_the_linear_classifier() -> None:
    found = named(task_features(a_probe(linear_top1=None, knn_top1=0.8, chance=0.5), Recipe()))

    assert found["linear accuracy"] == pytest.approx(0.6)


def test_of_sizes_alone_the_rest_is_as_in_the_mean_of_the_known_tasks() -> None:
    known = evidence({"birds": 2.0})

    found = named(features_of_sizes(16, 4, Recipe(epochs=8, batch_size=32), known))

    assert [found[name] for name in SIZES] == pytest.approx([4.0, 2.0, np.log2(8 * 2)])
    rest = {name: value for name, value in found.items() if name not in SIZES}
    means = named(known.features.mean(axis=0))
    assert rest == pytest.approx({name: means[name] for name in rest})


def test_a_tiny_rate_lies_beside_frozen_and_doublings_lie_evenly() -> None:
    def head(rate: float) -> float:
        return float(coordinates([StageRates.of(inner=0.0, head=rate)])[0, 0])

    assert head(1e-9) == pytest.approx(0.0, abs=1e-4)
    assert head(0.2) - head(0.1) == pytest.approx(1.0, abs=0.01)
    assert head(0.4) - head(0.2) == pytest.approx(1.0, abs=0.01)


def test_coordinates_are_of_four_stages_and_the_frozen_ones() -> None:
    rates = StageRates(conv1=0.0, conv2=0.0, conv3=1e-4, conv4=0.5, conv5=3e-4, head=0.5)

    (found,) = coordinates([rates])

    by_name = dict(zip(COORDINATES, found.tolist(), strict=True))
    assert by_name["conv1"] == 0.0
    assert by_name["conv3"] == pytest.approx(1.0)
    assert by_name["conv5"] == pytest.approx(2.0)
    assert by_name["frozen stages"] == 2.0
    assert coordinates([]).shape == (0, len(COORDINATES))
