"""Candidates, their ranking, what to try next, and why."""

from dataclasses import replace

import numpy as np
import pytest

from lrsearch.contract.protocols import Graduated, LastLayer, LogRange, Protocol, Staged, Uniform
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.search.baseline import BASELINE
from lrsearch.search.prior.acquire import choose
from lrsearch.search.prior.candidates import SPREAD, candidate_points, further_points
from lrsearch.search.prior.explain import SHORTLIST, explain, rank_fast
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.prior import Observation, Prior
from lrsearch.search.prior.sizes import features_of_sizes
from tests.search.prior.made_up import KERNEL, SCALES, evidence, graduated, prior

STAGED = Staged()


def rates_of(protocol: Protocol) -> list[StageRates]:
    return [protocol.rates(point) for point in candidate_points(protocol)]


@pytest.mark.parametrize("protocol", [LastLayer(), Uniform(), Graduated(), Staged(
    frozen=[0, 2], il=[0.001, 0.01], growth=[1.0, 2.0], ll=[0.1])])  # fmt: skip
def test_all_points_of_a_finite_protocol_are_candidates(protocol: Protocol) -> None:
    assert candidate_points(protocol) == protocol.points()


@pytest.mark.parametrize(
    "protocol",
    [
        STAGED,
        Staged(frozen=[1, 3], il=LogRange(low=1e-3, high=1e-2), growth=[2.0]),
        Uniform(il=LogRange(low=1e-5, high=1e-2), ll=LogRange(low=1e-2, high=1.0)),
        Graduated(scale=LogRange(low=0.25, high=40.0)),
        LastLayer(ll=LogRange(low=5e-324, high=1e3)),  # whose ratio no float can hold
    ],
)
def test_points_lie_within_the_space_and_cover_it(protocol: Protocol) -> None:
    points = further_points(protocol)

    assert len(points) >= SPREAD
    for name, axis in protocol.axes.items():
        values = [point[name] for point in points]
        if isinstance(axis, LogRange):
            assert axis.low <= min(values)
            assert max(values) <= axis.high
            logs = np.sort(np.log(values)) - np.log(axis.low)
            gaps = np.diff(logs, prepend=0.0, append=np.log(axis.high) - np.log(axis.low))
            assert gaps.max() < 0.05 * (np.log(axis.high) - np.log(axis.low)), name
        else:
            assert set(values) == set(axis)
    for point in points:
        protocol.rates(point)


@pytest.mark.parametrize("protocol", [
    Staged(frozen=[3], il=LogRange(low=1e-3, high=1e-2)), Uniform(il=LogRange(low=1e-5, high=1e-2)),
])  # fmt: skip
def test_a_space_without_proven_points_is_covered_at_once(protocol: Protocol) -> None:
    assert candidate_points(protocol) == further_points(protocol)


def test_the_papers_rates_are_among_the_candidates_of_staged() -> None:
    def close(one: StageRates, other: StageRates) -> bool:
        return dict(one.items()) == pytest.approx(dict(other.items()))

    found = rates_of(STAGED)
    assert len(found) == len(set(found)) == 24
    for rates in graduated(0.25, 1.0, 10.0):
        assert any(close(rates, each) for each in found[:13])
    low = Staged(frozen=[1], il=LogRange(low=1e-4, high=1e-3))
    assert all(point["il"] <= 1e-3 for point in candidate_points(low))
    thawed = Staged(frozen=[0, 2])
    assert {point["frozen"] for point in candidate_points(thawed)} == {0, 2}


def test_rates_are_ranked_by_expected_accuracy_every_time_alike() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)

    ranked = known.rank(features, graduated(*SCALES))

    assert [each.top1 for each in ranked] == sorted((it.top1 for it in ranked), reverse=True)
    assert ranked[0].rates == graduated(2.0)[0]
    assert ranked[0].top1 == pytest.approx(0.9, abs=0.05)
    assert ranked[0].gain == pytest.approx(0.4, abs=0.08)
    assert ranked == prior().rank(features, graduated(*SCALES))


def test_the_baselines_gain_over_itself_is_nothing() -> None:
    (baseline,) = prior().rank(np.full(len(FEATURES), 4.0), [BASELINE])

    assert baseline.gain == 0.0
    assert baseline.gain_deviation == pytest.approx(0.0, abs=1e-6)


def test_what_was_tried_on_the_task_changes_the_ranking() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)
    good, bad = graduated(8.0)[0], graduated(2.0)[0]
    seen = [Observation(good, 0.97, 500), Observation(bad, 0.4, 500)]

    before = {it.rates: it.top1 for it in known.rank(features, graduated(*SCALES))}
    ranked = known.rank(features, graduated(*SCALES), seen)

    assert ranked[0].rates == good
    assert before[good] < 0.7
    assert 0.9 < ranked[0].top1 < 0.97  # a part of it is taken for luck


def test_what_was_tried_on_the_task_moves_belief_the_more_the_nearer_it_lies() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)
    rates = graduated(8.0, 6.0, 4.0, 2.0, 0.5)

    before = known.believe(features, rates).logits
    after = known.believe(features, rates, [Observation(rates[0], 0.97, 500)]).logits

    moved = (after.mean - before.mean).tolist()
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[-1] + 0.3
    assert moved[-1] > 0.5  # the task's level, which is in all of them
    surer = (before.deviation - after.deviation).tolist()
    assert surer == sorted(surer, reverse=True)
    assert surer[-1] > 0.0


@pytest.mark.parametrize(("few", "many"), [(0.5, 8.0), (8.0, 0.5)])
def test_recommended_rates_go_with_images_per_label_as_they_did_on_known_tasks(
    few: float, many: float
) -> None:
    tasks = {8: evidence({"birds": few, "signs": few}), 128: evidence({"toys": many, "cups": many})}
    for images, known in tasks.items():
        known.features[:, FEATURES.index("images per label")] = np.log2(images)
    both = Prior("made up", KERNEL, tasks[8].and_also(tasks[128]))

    def recommended_scale(images: float) -> float:
        features = both.evidence.features.mean(axis=0)
        features[FEATURES.index("images per label")] = np.log2(images)
        return both.rank(features, graduated(*SCALES))[0].rates.head / 0.016

    assert [recommended_scale(images) for images in (4, 8, 128, 256)] == pytest.approx(
        [few, few, many, many]
    )


def test_the_first_trial_is_the_expected_best() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)
    candidates = rates_of(STAGED)
    tops = {each.rates: each.top1 for each in known.rank(features, candidates)}

    first = choose(known, features, candidates, [])
    behind_the_baseline = choose(known, features, candidates, [Observation(BASELINE, 0.5, 100)])

    assert tops[candidates[first]] == max(tops.values())
    after = known.rank(features, candidates, [Observation(BASELINE, 0.5, 100)])
    assert candidates[behind_the_baseline] == after[0].rates


def test_trials_of_a_group_differ() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)
    candidates = rates_of(STAGED)
    seen = [Observation(BASELINE, 0.5, 100), Observation(graduated(2.0)[0], 0.85, 100)]
    pending: list[StageRates] = []
    for _ in range(4):
        pending.append(candidates[choose(known, features, candidates, seen, pending)])

    assert len(set(pending)) == 4


def test_of_many_candidates_the_best_are_ranked_as_all_would_be() -> None:
    known = Prior.read()
    features = known.evidence.features[0]
    candidates = [STAGED.rates(point) for point in further_points(STAGED)]

    found = rank_fast(known, features, candidates)

    assert len(candidates) > SHORTLIST == len(found)
    exact = known.rank(features, candidates)
    assert [each.rates for each in found[:5]] == [each.rates for each in exact[:5]]
    assert [each.gain for each in found[:5]] == pytest.approx([each.gain for each in exact[:5]])


def test_a_features_effect_is_what_the_ranking_without_it_says() -> None:
    known = Prior.read()
    candidates = graduated(0.25, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 20.0)
    features = features_of_sizes(100, 2, Recipe(), known.evidence)
    chosen = known.rank(features, candidates)[0].rates

    found = explain(known, features, candidates, chosen)

    assert {effect.name for effect in found.features} == set(FEATURES)
    strengths = [abs(np.log(effect.head_factor)) for effect in found.features]
    assert strengths == sorted(strengths, reverse=True)
    effects = {effect.name: effect for effect in found.features}
    for place, name in enumerate(FEATURES):
        elsewhere = features.copy()
        elsewhere[place] = known.evidence.features[:, place].mean()
        first = known.rank(elsewhere, candidates)[0].rates
        assert effects[name].rates_if_typical == first
        assert effects[name].head_factor == chosen.head / first.head
    assert effects["images per label"].value == pytest.approx(100)
    assert effects["linear accuracy"].value == pytest.approx(effects["linear accuracy"].typical)
    images = effects["images per label"]
    assert images.typical_low < images.typical < images.typical_high


def test_a_task_of_the_evidence_is_most_like_itself() -> None:
    known = prior()

    nearest = explain(known, known.evidence.features[5], graduated(*SCALES), BASELINE).nearest_tasks

    assert (nearest[0].name, nearest[0].domain) == ("signs-1", "signs")
    assert nearest[0].similarity == pytest.approx(1.0)
    assert len(nearest) == 3
    assert 1.0 > nearest[1].similarity >= nearest[2].similarity >= 0.0


def test_errors_on_the_same_images_are_shared_so_that_differences_are_surer_than_levels() -> None:
    known = prior()
    features = known.evidence.features.mean(axis=0)
    rates = graduated(2.0, 8.0)
    seen = [Observation(each, 0.7, 20) for each in rates]

    belief = known.believe(features, rates, seen)

    alone = belief.logits.covariance[0, 0] + belief.logits.covariance[1, 1]
    assert belief.logits.covariance[0, 1] > 0.5 * belief.logits.covariance[0, 0]
    assert alone - 2.0 * belief.logits.covariance[0, 1] < 0.5 * alone


def test_a_finetune_that_was_run_is_judged_with_its_luck_and_another_seed_without() -> None:
    known = replace(prior(), kernel=replace(KERNEL, run=0.5))
    features = known.evidence.features.mean(axis=0)
    (tried,) = graduated(2.0)
    close_by = replace_head(tried, 1.0001)
    seen = [Observation(tried, 0.99, 2000)]

    belief = known.believe(features, [tried, close_by], seen)

    assert belief.shares()[0] == pytest.approx(0.99, abs=0.01)
    assert belief.shares()[1] < 0.98


def replace_head(rates: StageRates, factor: float) -> StageRates:
    return rates.model_copy(update={"head": rates.head * factor})
