"""Strategy `recommend`: looks at the task first, then tries what promises most."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lrsearch import priors
from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import TrialFinished
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import FailedReport, Lease, ProbeReport, ProbeWork, TrialWork
from lrsearch.contract.protocols import (
    Graduated,
    LastLayer,
    LogRange,
    Protocol,
    Staged,
    Uniform,
)
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.jobs import pruning, tasks
from lrsearch.jobs.jobs import lock_job
from lrsearch.search.baseline import BASELINE
from lrsearch.search.known import Finetune, KnownTask
from lrsearch.search.prior.candidates import candidate_points
from lrsearch.search.prior.features import Vector, task_features, typical_features
from lrsearch.search.prior.prior import Observation, Prior
from lrsearch.search.recommend import recommend
from tests.probes import a_probe
from tests.service.rig import EPOCHS, Rig, curve, one_database

VALIDATION_IMAGES = 48
"""Of the data set `animals`."""

PRIOR = Prior.read()

PROBED = task_features(a_probe(), Recipe(epochs=EPOCHS))


def submit(rig: Rig, **request: Any) -> Job:
    """A job whose probe waits with its baseline."""
    return rig.submit(**{"strategy": "recommend", "probe": True, **request})


def looked_at(rig: Rig, baseline: float = 0.5) -> Lease:
    """Baseline and probe are done."""
    lease = rig.claim()
    report_probe(rig, lease)
    rig.complete(lease, baseline)
    return lease


def report_probe(rig: Rig, lease: Lease) -> None:
    (work,) = [work for work in lease.work if isinstance(work, ProbeWork)]
    rig.report(lease, work, ProbeReport(probe=a_probe()))


def known(rig: Rig, job: Job) -> KnownTask:
    with rig.database.write() as session:
        row = lock_job(session, job.id)
        assert row is not None
        return tasks.known_task(session, row)


def ranked_first(features: Vector, protocol: Protocol, *seen: Observation) -> StageRates:
    rates = [protocol.rates(point) for point in candidate_points(protocol)]
    return PRIOR.rank(features, rates, seen)[0].rates


def rates_of(lease: Lease) -> list[StageRates]:
    return [work.rates for work in lease.work if isinstance(work, TrialWork)]


@pytest.mark.parametrize("first", ["baseline", "probe"])
def test_nothing_is_proposed_before_baseline_and_probe_are_there(rig: Rig, first: str) -> None:
    job = submit(rig)
    lease = rig.claim(max_trials=8)
    assert [work.kind for work in lease.work] == ["probe", "trial"]
    steps: list[Callable[[], Any]] = [
        lambda: rig.complete(lease, 0.5),
        lambda: report_probe(rig, lease),
    ]
    for step in steps if first == "baseline" else reversed(steps):
        assert rig.try_claim(max_trials=8) is None
        step()
    assert [work.id for work in rig.claim().work] == [rig.trials(job)[1].id]


@pytest.mark.parametrize(
    "protocol", [Staged(), Graduated(), Uniform(il=LogRange(low=1e-4, high=1))]
)
def test_the_first_trial_is_what_the_prior_ranks_first(rig: Rig, protocol: Protocol) -> None:
    job = submit(rig, protocol=protocol)
    looked_at(rig)
    best = ranked_first(PROBED, protocol, Observation(BASELINE, 0.5, VALIDATION_IMAGES))
    assert rates_of(rig.claim()) == [best]
    trial = rig.trials(job)[1]
    assert protocol.rates(trial.point) == best
    expected = PRIOR.rank(PROBED, [best], [Observation(BASELINE, 0.5, VALIDATION_IMAGES)])[0]
    assert trial.expected_top1 == pytest.approx(expected.top1)
    assert trial.expected_gain_points == pytest.approx(100 * expected.gain)
    assert trial.expected_gain_deviation_points == pytest.approx(100 * expected.gain_deviation)
    assert trial.expected_deviation is not None
    assert 0.0 < trial.expected_deviation < 0.5
    assert rig.trials(job)[0].expected_top1 is None


def test_a_probe_that_fails_leaves_the_features_of_a_typical_task(rig: Rig) -> None:
    job = submit(rig, budget=Budget(finetunes=1))
    lease = rig.claim()
    rig.report(lease, lease.work[0], FailedReport(reason="out of memory"))
    rig.complete(lease, 0.5)
    typical = typical_features(PRIOR.evidence.features)
    best = ranked_first(typical, Staged(), Observation(BASELINE, 0.5, VALIDATION_IMAGES))
    next_one = rig.claim()
    assert rates_of(next_one) == [best]
    rig.complete(next_one, 0.6)
    rig.run()
    assert rig.job(job).state == "complete"


def test_a_probe_that_is_lost_too_often_is_not_waited_for(rig: Rig) -> None:
    submit(rig)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    for _ in range(rig.settings.max_attempts):
        assert [work.kind for work in lease.work if work.kind == "probe"] == ["probe"]
        rig.lose(lease)
        lease = rig.claim()
    assert len(rates_of(lease)) == 1


def test_a_baseline_that_fails_does_not_stop_the_job(rig: Rig) -> None:
    job = submit(rig, budget=Budget(finetunes=2))
    lease = rig.claim()
    report_probe(rig, lease)
    rig.end(lease, "failed")
    lease = rig.claim()
    assert rates_of(lease) == [ranked_first(PROBED, Staged())]
    rig.complete(lease, 0.6)
    rig.run(lambda work: 0.5)
    result = rig.result(job)
    assert result.baseline is None
    assert result.winner.expected_top1 is not None


def test_trials_of_a_lease_differ_and_none_is_tried_twice(rig: Rig) -> None:
    job = submit(rig, budget=Budget(trials=12))
    looked_at(rig)
    rig.run(lambda work: 0.5, max_trials=4)
    tried = [trial.rates for trial in rig.trials(job)]
    assert len(tried) == len(set(tried)) == 13


@pytest.mark.parametrize("max_trials", [1, 4])
def test_a_finite_protocol_is_searched_to_its_end(rig: Rig, max_trials: int) -> None:
    job = submit(rig, protocol=LastLayer(ll=[0.01, 0.02, 0.05]), budget=Budget(trials=50))
    rig.run(max_trials=max_trials)
    assert rig.job(job).state == "complete"
    assert sorted(trial.rates.head for trial in rig.trials(job)) == [0.01, 0.02, 0.05]


@pytest.mark.parametrize(
    ("finetunes", "epochs", "trials"), [(1.0, 10, 1), (1.5, 15, 1), (2.0, 20, 2), (3.19, 31, 3)]
)
@pytest.mark.parametrize("max_trials", [1, 8])
def test_a_budget_in_finetunes_is_never_overshot(
    rig: Rig, finetunes: float, epochs: int, trials: int, max_trials: int
) -> None:
    job = submit(rig, epochs=10, budget=Budget(finetunes=finetunes))
    assert (job.request.budget.finetunes, job.request.budget.epochs) == (finetunes, epochs)
    assert job.trials_planned == 1 + trials
    looked_at(rig)
    assert len(rig.claim(max_trials=max_trials).work) == min(trials, max_trials)
    assert rig.job(job).spent.epochs == 10 * min(trials, max_trials)


def test_a_search_costs_what_its_budget_says(rig: Rig) -> None:
    job = submit(rig, budget=Budget(finetunes=2))
    rig.run(max_trials=8)
    assert rig.result(job).cost.finetune_equivalents == 2.0


def test_the_same_history_leads_to_the_same_trials_in_another_process(rig: Rig) -> None:
    def searched(max_trials: int) -> list[dict[str, Any]]:
        priors.shipped_prior.cache_clear()
        job = submit(rig, budget=Budget(trials=5))
        rig.run(lambda work: 0.4 + 0.05 * work.number, max_trials)
        shown = {"point", "rates", "expected_top1", "expected_gain_points", "expected_deviation"}
        return [trial.model_dump(include=shown) for trial in rig.trials(job)]

    for max_trials in (1, 3):
        first = searched(max_trials)
        assert len(first) == 6
        assert searched(max_trials) == first


def test_what_a_trial_teaches_depends_on_how_it_ended(rig: Rig) -> None:
    job = submit(rig, budget=Budget(trials=6))
    looked_at(rig, baseline=0.5)
    rig.end(rig.claim(), "diverged", 0.9)
    rig.end(rig.claim(), "pruned", 0.7)
    rig.end(rig.claim(), "pruned")
    rig.end(rig.claim(), "failed", 0.7)
    rig.complete(rig.claim(), 0.75)
    rig.claim()
    task = known(rig, job)
    rates = [trial.rates for trial in rig.trials(job)]
    assert task.lessons == [
        Observation(rates[0], 0.5, VALIDATION_IMAGES),
        Observation(rates[1], pytest.approx(1 / 3), VALIDATION_IMAGES),
        Observation(rates[2], 0.7, VALIDATION_IMAGES, 1 / EPOCHS),
        Observation(rates[5], 0.75, VALIDATION_IMAGES),
    ]
    assert task.observations == [task.lessons[0], task.lessons[3]]
    assert task.pending == [rates[6]]
    assert (task.epochs, task.features.tolist()) == (EPOCHS, PROBED.tolist())
    proposed = recommend(Staged(), task)
    assert proposed is not None
    assert Staged().rates(proposed.point) not in rates


def test_a_second_seed_teaches_nothing(rig: Rig) -> None:
    job = submit(rig, protocol=LastLayer(ll=[0.02]), budget=Budget(trials=2), confirm=True)
    looked_at(rig, baseline=0.25)
    rig.complete(rig.claim(), 0.75)
    before = known(rig, job)
    confirmation = rig.claim()
    assert rig.trials(job)[2].replicate == 1
    rig.complete(confirmation, 0.25)
    after = known(rig, job)
    assert after.finetunes == before.finetunes
    best = rig.job(job).best
    assert best is not None
    assert best.trial == 1


def test_the_winner_is_the_trial_of_the_highest_expected_accuracy(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial one image ahead is not better where everything known speaks for the other."""
    protocol = Graduated(scale=[2.0, 40.0])
    favourite = protocol.rates({"scale": 2.0})

    def expected_top1s(_: KnownTask, rates: Sequence[StageRates]) -> list[float]:
        return [{favourite: 0.64, BASELINE: 0.5}.get(each, 0.6) for each in rates]

    monkeypatch.setattr(KnownTask, "expected_top1s", expected_top1s)
    job = submit(rig, protocol=protocol, budget=Budget(trials=2))
    looked_at(rig)
    rig.run(lambda work: 30 / 48 if work.rates == favourite else 31 / 48)
    first, second = sorted(rig.trials(job)[1:], key=lambda trial: trial.rates != favourite)
    assert (first.val_top1, second.val_top1) == (30 / 48, 31 / 48)
    result = rig.result(job)
    assert result.winner.trial == first.number
    assert result.winner.expected_top1 == 0.64
    assert result.baseline is not None
    assert result.baseline.expected_top1 == 0.5
    best = rig.job(job).best
    assert best is not None
    assert (best.trial, best.val_top1, best.expected_top1) == (first.number, 30 / 48, 0.64)


def test_what_is_expected_is_told_with_each_trial_that_completes(rig: Rig) -> None:
    job = submit(rig, budget=Budget(trials=2))
    looked_at(rig)
    rig.end(rig.claim(), "diverged", 0.4)
    rig.complete(rig.claim(), 0.75)
    told = [e.body for e in rig.events(job) if isinstance(e.body, TrialFinished)]
    assert [body.expected_top1 is not None for body in told] == [True, False, True]
    best = rig.job(job).best
    assert best is not None
    assert best.expected_top1 == told[-1].expected_top1


def test_a_trial_that_beats_the_best_by_far_becomes_the_winner(rig: Rig) -> None:
    job = submit(rig, budget=Budget(trials=3))
    looked_at(rig, baseline=0.25)
    rig.run(lambda work: 0.9 if work.number == 3 else 0.3)
    assert rig.result(job).winner.trial == 3


def test_the_weights_of_every_complete_trial_are_wanted(rig: Rig) -> None:
    submit(rig)
    looked_at(rig)
    lease = rig.claim()
    assert rig.heartbeat(lease, {}).val_top1_to_beat is None


def test_the_target_is_compared_with_the_validation_accuracy_of_the_best(rig: Rig) -> None:
    job = submit(rig, budget=Budget(target_accuracy=0.8, trials=9))
    looked_at(rig, baseline=0.25)
    rig.complete(rig.claim(), 0.85)
    best = rig.job(job).best
    assert best is not None
    assert best.expected_top1 is not None
    assert best.expected_top1 < best.val_top1
    rig.run()
    assert rig.job(job).spent.trials == 1


def test_other_strategies_expect_nothing(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]), probe=True)
    rig.run()
    result, best = rig.result(job), rig.job(job).best
    assert result.winner.expected_top1 is None
    assert best is not None
    assert best.expected_top1 is None
    assert [trial.expected_top1 for trial in rig.trials(job)] == [None, None]


@pytest.mark.parametrize(
    ("top1", "expected", "verdict"),
    [
        (
            0.25,
            0.6,
            "No gain: trial 1 is 25.0 points less accurate than the baseline on validation",
        ),
        (0.50, 0.6, "No gain: trial 1 is as accurate as the baseline on validation images, though"),
        (0.75, 0.6, "Trial 1 beats the baseline by 25.0 points on validation images"),
        (0.75, 0.4, "The baseline itself is the best: of nothing that was tried more is expected"),
    ],
)
@one_database
def test_the_verdict_is_true_where_accuracy_and_expectation_differ(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, top1: float, expected: float, verdict: str
) -> None:
    def expected_top1s(_: KnownTask, rates: Sequence[StageRates]) -> list[float]:
        return [0.5 if each == BASELINE else expected for each in rates]

    monkeypatch.setattr(KnownTask, "expected_top1s", expected_top1s)
    rig.add_data_set("scarce", images_per_label=45)
    job = submit(rig, data_set="scarce", budget=Budget(trials=1))
    looked_at(rig, baseline=0.5)
    rig.complete(rig.claim(), top1)
    assert rig.result(job).evaluation == "validation_only"
    assert rig.result(job).verdict.startswith(verdict)


def test_of_trials_that_run_together_each_is_judged_by_its_curve_and_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Finetune, list[Finetune], KnownTask]] = []

    def rule(finetune: Finetune, rivals: list[Finetune], task: KnownTask) -> str | None:
        asked.append((finetune, rivals, task))
        return "far behind" if finetune.curve and finetune.curve[-1].val_top1 < 0.2 else None

    monkeypatch.setattr(pruning, "doomed", rule)
    job = submit(rig, epochs=4, budget=Budget(trials=3))
    looked_at(rig)
    rig.complete(rig.claim(), 0.6)
    lease = rig.claim(max_trials=2)
    good, poor = lease.work
    directives = rig.heartbeat(lease, {good.id: [0.5, 0.5], poor.id: [0.1]}).directives
    assert directives == {good.id: "continue", poor.id: "prune"}
    finetune, rivals, task = asked[-1]
    assert (finetune.number, finetune.rates) == (3, rates_of(lease)[1])
    assert finetune.curve == curve(0.1)
    assert [(rival.number, rival.state, len(rival.curve)) for rival in rivals] == [
        (1, "complete", 4),
        (2, "running", 2),
    ]
    assert [each.number for each in task.finetunes] == [0, 1, 2, 3]
    assert (task.epochs, task.val_images) == (4, VALIDATION_IMAGES)
    assert rig.job(job).state == "running"


def test_of_trials_that_run_together_one_is_left_at_half_of_the_epochs(rig: Rig) -> None:
    submit(rig, epochs=4, budget=Budget(trials=2))
    looked_at(rig)
    lease = rig.claim(max_trials=2)
    good, poor = lease.work
    directives = rig.heartbeat(lease, {good.id: [0.9], poor.id: [0.1]}).directives
    assert set(directives.values()) == {"continue"}
    directives = rig.heartbeat(lease, {good.id: [0.9] * 2, poor.id: [0.1] * 2}).directives
    assert directives == {good.id: "continue", poor.id: "prune"}


def test_a_later_trial_gives_way_to_a_better_one_at_half_of_its_epochs(rig: Rig) -> None:
    job = submit(rig, epochs=4, budget=Budget(trials=2))
    looked_at(rig)
    rig.complete(rig.claim(), 0.9)
    lease = rig.claim()
    (later,) = lease.work
    assert rig.heartbeat(lease, {later.id: [0.1]}).directives == {later.id: "continue"}
    assert rig.heartbeat(lease, {later.id: [0.1] * 2}).directives == {later.id: "prune"}
    rig.end(lease, "pruned", 0.1, 0.1, 0.1)
    assert "after 2 of 4 epochs" in (rig.trials(job)[2].reason or "")


def test_the_only_trial_is_not_stopped_for_the_baseline(rig: Rig) -> None:
    submit(rig, epochs=4, budget=Budget(trials=1))
    looked_at(rig, baseline=0.9)
    lease = rig.claim()
    (only,) = lease.work
    assert rig.heartbeat(lease, {only.id: [0.1] * 3}).directives == {only.id: "continue"}


def test_half_a_finetune_promises_more_than_it_has_reached_and_says_less() -> None:
    rates = Graduated().rates({"scale": 3.0})
    whole, half = (
        PRIOR.believe(PROBED, [rates], [Observation(rates, 0.6, 200, share)])
        for share in (1.0, 0.5)
    )
    assert half.logits.mean[0] > whole.logits.mean[0]
    assert half.logits.deviation[0] > whole.logits.deviation[0]
