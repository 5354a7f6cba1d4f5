"""The confirmation: the winner's rates once more, with a second seed, where the budget pays."""

from typing import Any

import pytest

from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import FinalWork, Lease, TrialReport, TrialWork
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.results import PointsInterval, Result
from lrsearch.statistics import difference_interval
from tests.service.rig import EPOCHS, Rig, curve, final_report_of, one_database

GRID = LastLayer(ll=[0.02, 0.05])
"""Two points besides the baseline; the trials below give the first 0.75 and the second 0.5."""

VALIDATION_IMAGES = 48
"""Of the data set `animals`."""


def searched(rig: Rig, baseline: float | None = 0.25, **request: Any) -> Job:
    """A job whose trials have all ended but the confirmation; trial 1 is the best of the grid."""
    job = rig.submit(**{"protocol": GRID, "confirm": True, **request})
    if baseline is None:
        rig.end(rig.claim(), "failed")
    else:
        rig.complete(rig.claim(), baseline)
    rig.complete(rig.claim(), 0.75)
    rig.complete(rig.claim(), 0.5)
    return job


def only_work(lease: Lease) -> TrialWork:
    (work,) = lease.work
    assert isinstance(work, TrialWork)
    return work


def finished(rig: Rig, job: Job) -> Result:
    """The result, after the final test where there is one."""
    if (lease := rig.try_claim()) is not None:
        (work,) = lease.work
        assert isinstance(work, FinalWork)
        rig.report(lease, work, final_report_of(work))
    assert rig.job(job).state == "complete"
    return rig.result(job)


def replicates(rig: Rig, job: Job) -> list[int]:
    return [trial.replicate for trial in rig.trials(job)]


def test_the_winners_rates_are_tried_with_a_second_seed_when_the_search_is_over(rig: Rig) -> None:
    job = searched(rig)
    work = only_work(rig.claim(max_trials=8))
    winner = rig.trials(job)[1]
    assert (work.number, work.replicate, work.baseline) == (3, 1, False)
    assert work.rates == winner.rates
    confirmation = rig.trials(job)[3]
    assert (confirmation.point, confirmation.rates) == (winner.point, winner.rates)
    assert replicates(rig, job) == [0, 0, 0, 1]
    assert rig.job(job).state == "running"
    assert rig.try_claim() is None  # the final test waits for it


@pytest.mark.parametrize("second", [0.5, 0.75, 1.0])
def test_a_second_seed_never_takes_the_place_of_the_winner(rig: Rig, second: float) -> None:
    job = searched(rig)
    lease = rig.claim()
    report = TrialReport(outcome="complete", curve=curve(second, second), seconds=3.0)
    rig.report(lease, lease.work[0], report)  # its weights are not asked for
    final = rig.claim()
    assert isinstance(final.work[0], FinalWork)
    rig.report(final, final.work[0], final_report_of(final.work[0]))
    result = rig.result(job)
    assert (result.winner.trial, result.winner.val_top1) == (1, 0.75)
    assert result.evaluation == "holdout"
    confirmation = result.confirmation
    assert confirmation is not None
    assert (confirmation.trial, confirmation.state) == (3, "complete")
    assert confirmation.val_top1 == second
    assert confirmation.validation_images == VALIDATION_IMAGES
    assert confirmation.difference_points == pytest.approx(100.0 * (second - 0.75))
    assert confirmation.gain_points == pytest.approx(100.0 * (second - 0.25))
    assert confirmation.difference_interval == difference_interval(
        round(48 * second), VALIDATION_IMAGES, 36, VALIDATION_IMAGES
    )
    assert confirmation.within_chance == (second == 0.75)


def test_a_confirmation_counts_in_budget_and_cost(rig: Rig) -> None:
    job = searched(rig)
    rig.complete(rig.claim(), 0.7, seconds=3.0)
    cost = finished(rig, job).cost
    assert (cost.trials, cost.epochs, cost.seconds) == (4, 3 * EPOCHS, 6.0)
    assert cost.finetune_equivalents == 3.0
    ended = rig.job(job)
    assert ended.trials_planned == ended.trials_finished == 4
    assert (ended.spent.trials, ended.spent.epochs, ended.spent.seconds) == (3, 3 * EPOCHS, 6.0)


@pytest.mark.parametrize(
    ("budget", "confirmed"),
    [
        (Budget(trials=2), False),
        (Budget(trials=3), True),
        (Budget(epochs=3 * EPOCHS - 1), False),
        (Budget(epochs=3 * EPOCHS), True),
        (Budget(seconds=3.1), False),
        (Budget(seconds=100.0), True),
        (Budget(trials=3, epochs=2 * EPOCHS), False),
        (Budget(target_accuracy=0.9), True),
    ],
)
def test_a_winner_is_confirmed_if_the_budget_pays_for_it(
    rig: Rig, budget: Budget, confirmed: bool
) -> None:
    job = searched(rig, budget=budget)
    lease = rig.claim()
    if confirmed:
        assert only_work(lease).replicate == 1
        rig.complete(lease, 0.75)
        assert (finished(rig, job).confirmation is not None) is confirmed
        assert budget.trials is None or rig.job(job).spent.trials <= budget.trials
        assert budget.epochs is None or rig.job(job).spent.epochs <= budget.epochs
    else:
        assert isinstance(lease.work[0], FinalWork)
        assert replicates(rig, job) == [0, 0, 0]


def test_the_seconds_of_a_confirmation_are_reserved(rig: Rig) -> None:
    searched(rig, budget=Budget(seconds=4.0))
    assert only_work(rig.claim()).seconds_limit == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("baseline", "asked"),
    [
        (0.25, {"confirm": False}),
        (0.75, {}),  # only the loss is lower
        (0.8, {}),
        (0.25, {"budget": Budget(target_accuracy=0.75)}),
    ],
)
def test_where_there_is_nothing_to_confirm_the_final_test_comes_at_once(
    rig: Rig, baseline: float, asked: dict[str, Any]
) -> None:
    job = rig.submit(**{"protocol": LastLayer(ll=[0.02]), "confirm": True, **asked})
    rig.complete(rig.claim(), baseline, val_loss=2.0)
    rig.complete(rig.claim(), 0.75, val_loss=1.0)
    result = finished(rig, job)
    assert result.confirmation is None
    assert len(rig.trials(job)) == 2


def test_jobs_confirm_their_winners_unless_told_not_to(rig: Rig) -> None:
    with_default = rig.submit(confirm=True).request.model_dump(exclude={"confirm"})
    assert type(rig.submit().request).model_validate(with_default).confirm


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ("diverged", "With a second seed it diverged."),
        ("failed", "It could not be confirmed on a second seed: that trial is failed."),
        ("pruned", "It could not be confirmed on a second seed: that trial is pruned."),
    ],
)
def test_a_confirmation_that_does_not_complete_does_not_fail_the_job(
    rig: Rig, outcome: str, sentence: str
) -> None:
    job = searched(rig)
    rig.end(rig.claim(), outcome, 0.3)
    result = finished(rig, job)
    assert result.winner.trial == 1
    assert result.verdict.endswith(f"(p = 0.013). {sentence}")
    assert result.confirmation is not None
    assert result.confirmation.model_dump(exclude={"trial", "validation_images"}) == {
        "state": outcome,
        "val_top1": None,
        "difference_points": None,
        "difference_interval": None,
        "within_chance": None,
        "gain_points": None,
    }


def test_a_confirmation_that_is_lost_too_often_does_not_fail_the_job(rig: Rig) -> None:
    job = searched(rig)
    for _ in range(rig.settings.max_attempts):
        lease = rig.claim()
        assert only_work(lease).replicate == 1
        rig.lose(lease)
    assert "could not be confirmed" in finished(rig, job).verdict
    assert replicates(rig, job) == [0, 0, 0, 1]


@one_database
@pytest.mark.parametrize("pruning", ["median", "halving"])
def test_a_confirmation_is_not_pruned(rig: Rig, pruning: str) -> None:
    searched(rig, pruning=pruning)
    assert rig.beat(rig.claim(), [0.0]) == "continue"


@pytest.mark.parametrize(
    ("baseline", "second", "sentence"),
    [
        (
            0.25,
            0.625,
            (
                "The gain repeats with a second seed: 37.5 points on validation images, where the "
                "first has 50.0."
            ),
        ),
        (
            0.25,
            0.3125,
            (
                "The gain repeats with a second seed: 6.2 points on validation images, where the "
                "first has 50.0, which is more than chance explains."
            ),
        ),
        (
            0.25,
            0.25,
            (
                "But the gain did not repeat: with a second seed its validation accuracy is 25.0 % "
                "instead of 75.0 %, and the baseline's 25.0 %."
            ),
        ),
        (
            None,
            0.625,
            "With a second seed its validation accuracy is 62.5 % instead of 75.0 %.",
        ),
    ],
)
@one_database
def test_the_verdict_says_whether_the_gain_repeats(
    rig: Rig, baseline: float | None, second: float, sentence: str
) -> None:
    job = searched(rig, baseline)
    rig.complete(rig.claim(), second)
    first, _, rest = finished(rig, job).verdict.partition(". ")
    assert "trial 1" in first.lower()
    assert rest == sentence


def test_a_winner_that_cannot_be_tested_is_confirmed_all_the_same(rig: Rig) -> None:
    rig.add_data_set("scarce", images_per_label=45)
    job = searched(rig, data_set="scarce")
    rig.complete(rig.claim(), 0.7)
    result = rig.result(job)
    assert result.evaluation == "validation_only"
    assert result.confirmation is not None
    assert result.confirmation.validation_images == 21


def test_a_result_of_before_there_were_confirmations_still_reads(rig: Rig) -> None:
    job = searched(rig, confirm=False)
    result = finished(rig, job)
    assert Result.model_validate(result.model_dump(exclude={"confirmation"})) == result


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_paper(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table II, method 10."""
    interval = difference_interval(*first, *second)
    assert isinstance(interval, PointsInterval)
    assert interval.low == pytest.approx(100.0 * low, abs=0.0051)
    assert interval.high == pytest.approx(100.0 * high, abs=0.0051)
