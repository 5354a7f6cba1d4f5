"""Results: the winner, honest accuracy, the gain and what it took."""

import pytest
from scipy.stats import binomtest

from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import FinalReport
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.results import Interval, Result
from lrsearch.errors import ConflictError, NotFoundError
from lrsearch.statistics import mcnemar_p_value, wilson_interval
from tests.service.rig import TEST_IMAGES, Rig, final_report, one_database


def _run(rig: Rig, baseline: float | None, other: float, final: FinalReport | None) -> Result:
    """The result of a job of two trials; without a final report its test split is too small."""
    rig.add_data_set("scarce", images_per_label=45)
    job = rig.submit(
        data_set="scarce" if final is None else "animals", protocol=LastLayer(ll=[0.05]), epochs=4
    )
    if baseline is None:
        rig.end(rig.claim(), "failed")
    else:
        rig.complete(rig.claim(), baseline, seconds=1.0)
    rig.complete(rig.claim(), other, seconds=10.0)
    if final is not None:
        lease = rig.claim()
        rig.report(lease, lease.work[0], final)
    return rig.result(job)


def test_a_tested_winner_has_an_accuracy_with_an_interval(rig: Rig) -> None:
    result = _run(rig, 0.5, 0.9, final_report(winner=50, baseline=40))
    assert result.evaluation == "holdout"
    assert result.test_images == TEST_IMAGES
    assert result.winner.trial == 1
    assert result.winner.point == {"ll": 0.05}
    assert result.winner.val_top1 == 0.9
    assert result.winner.test_top1 == 50 / 60
    assert result.winner.test_interval == wilson_interval(50, 60)
    assert result.baseline is not None
    assert result.baseline.test_top1 == 40 / 60
    assert result.gain_points == pytest.approx(100 * 10 / 60)
    assert result.selection_optimism_points == pytest.approx(100 * (0.9 - 50 / 60))


def test_a_result_says_what_the_search_has_cost(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02, 0.05]), epochs=4)
    rig.complete(rig.claim(), 0.5, seconds=1.0)
    rig.end(rig.claim(), "pruned", 0.1, seconds=2.0)
    rig.complete(rig.claim(), 0.6, seconds=10.0)
    rig.run()
    cost = rig.result(job).cost
    assert (cost.trials, cost.epochs, cost.seconds) == (3, 1 + 4, 13.0)
    assert cost.finetune_equivalents == 5 / 4


def test_a_result_is_all_that_is_needed_to_repeat_the_winner(rig: Rig) -> None:
    result = _run(rig, 0.5, 0.9, final_report())
    assert result.winner.rates.head == 0.05
    assert result.recipe.epochs == 4
    assert result.source_model == "random"
    assert result.weights_url == f"/v1/jobs/{result.job_id}/weights"
    assert len(result.weights_sha256) == 64


def test_without_a_test_split_there_are_no_test_figures(rig: Rig) -> None:
    result = _run(rig, 0.5, 0.75, None)
    assert result.evaluation == "validation_only"
    assert result.test_images == 0
    assert result.winner.test_top1 is None
    assert result.winner.test_interval is None
    assert result.gain_points == pytest.approx(25.0)
    assert result.gain_p_value is None
    assert result.selection_optimism_points is None


@pytest.mark.parametrize(
    ("baseline", "other", "final", "verdict"),
    [
        (
            0.5,
            0.9,
            final_report(50, 40, only_winner=12, only_baseline=2),
            "Trial 1 beats the baseline by 16.7 points on images that chose nothing (p = 0.013).",
        ),
        (
            0.5,
            0.9,
            final_report(42, 40, only_winner=5, only_baseline=3),
            (
                "No reliable gain: trial 1 differs from the baseline by +3.3 points on the test "
                "images, which may be chance (p = 0.73)."
            ),
        ),
        (
            0.5,
            0.9,
            final_report(40, 50, only_winner=2, only_baseline=12),
            (
                "Trial 1 loses to the baseline by 16.7 points on images that chose nothing "
                "(p = 0.013)."
            ),
        ),
        (
            0.9,
            0.5,
            final_report(50, 50, only_winner=0, only_baseline=0),
            "The baseline itself is the best: nothing that was tried beats a frozen network.",
        ),
        (
            None,
            0.5,
            final_report(50, None, only_winner=0, only_baseline=0),
            "Trial 1 is the best; there is no baseline to compare it with.",
        ),
        (
            0.5,
            0.75,
            None,
            (
                "Trial 1 beats the baseline by 25.0 points on validation images; too few images "
                "are left for a test, so this flatters it."
            ),
        ),
    ],
)
@one_database
def test_the_verdict_says_what_the_figures_say(
    rig: Rig, baseline: float | None, other: float, final: FinalReport | None, verdict: str
) -> None:
    assert _run(rig, baseline, other, final).verdict == verdict


def test_a_tie_on_validation_is_no_gain(rig: Rig) -> None:
    rig.add_data_set("scarce", images_per_label=45)
    job = rig.submit(data_set="scarce", protocol=LastLayer(ll=[0.05]))
    rig.complete(rig.claim(), 0.5, val_loss=1.0)
    rig.complete(rig.claim(), 0.5, val_loss=0.9)
    assert rig.result(job).verdict.startswith("No gain: trial 1 is as accurate as the baseline")


def test_without_a_baseline_there_is_no_gain(rig: Rig) -> None:
    result = _run(rig, None, 0.5, final_report(50, None, only_winner=0, only_baseline=0))
    assert result.baseline is None
    assert result.gain_points is None
    assert result.gain_p_value is None
    assert result.winner.test_top1 == 50 / 60


@pytest.mark.parametrize("state", ["waiting", "running", "finalising"])
def test_an_open_job_has_no_result_yet(rig: Rig, state: str) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    if state != "waiting":
        lease = rig.claim()
        if state == "finalising":
            rig.complete(lease, 0.5)
    assert rig.job(job).state == state
    assert _refusal(rig, job, ConflictError) == "job_not_finished"


def test_a_cancelled_job_has_no_result(rig: Rig) -> None:
    job = rig.submit()
    rig.cancel(job.id)
    assert _refusal(rig, job, NotFoundError) == "no_result"


@pytest.mark.parametrize(
    ("correct", "images"), [(0, 1), (1, 1), (0, 30), (30, 30), (44, 50), (720, 1000), (1, 10**6)]
)
def test_wilsons_interval_is_scipys(correct: int, images: int) -> None:
    expected = binomtest(correct, images).proportion_ci(0.95, method="wilson")
    interval = wilson_interval(correct, images)
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)
    assert isinstance(interval, Interval)


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 0), (1, 0), (0, 6), (5, 5), (12, 2), (40, 80), (900, 1100)]
)
def test_mcnemars_exact_test_is_the_sign_test_of_scipy(only_first: int, only_second: int) -> None:
    discordant = only_first + only_second
    expected = binomtest(only_first, discordant).pvalue if discordant else 1.0
    assert mcnemar_p_value(only_first, only_second) == pytest.approx(expected, rel=1e-9)


def _refusal(rig: Rig, job: Job, error: type[ConflictError] | type[NotFoundError]) -> str:
    with pytest.raises(error) as caught:
        rig.result(job)
    return str(caught.value.code)
