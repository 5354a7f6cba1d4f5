"""Jobs: submitted, and on to their end."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import Spent
from lrsearch.contract.leases import FailedReport, FinalWork, TrialWork
from lrsearch.contract.protocols import Graduated, LastLayer, LogRange, Protocol, Staged, Uniform
from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.errors import ConflictError, InvalidError, LRSearchError, NotFoundError
from tests.service.rig import Rig, final_report, one_database


def test_a_new_job_has_every_default_filled_in(rig: Rig) -> None:
    job = rig.submit()
    assert job.state == "waiting"
    assert job.request.protocol == Graduated()
    assert job.trials_planned == 1 + 11
    assert job.spent == Spent(trials=0, epochs=0, seconds=0.0)
    assert [trial.state for trial in rig.trials(job)] == ["waiting"]


def test_a_sampler_without_a_budget_is_given_20_trials(rig: Rig) -> None:
    job = rig.submit(protocol=Staged(), strategy="tpe")
    assert job.request.budget.trials == 20
    assert job.trials_planned == 1 + 20


@pytest.mark.parametrize(
    ("budget", "planned"),
    [(Budget(trials=4), 5), (Budget(epochs=13), 7), (Budget(trials=50), 12)],
)
@one_database
def test_the_budget_bounds_what_is_planned(rig: Rig, budget: Budget, planned: int) -> None:
    assert rig.submit(budget=budget).trials_planned == planned


def test_the_baseline_is_not_planned_twice(rig: Rig) -> None:
    assert rig.submit(protocol=LastLayer(ll=[0.01, 0.1])).trials_planned == 2


@pytest.mark.parametrize(
    ("request_", "error", "code"),
    [
        ({"data_set": "plants"}, NotFoundError, "data_set_unknown"),
        ({"source_model": "unknown"}, NotFoundError, "source_model_unknown"),
        ({"source_model": "unchecked"}, ConflictError, "source_model_checking"),
        ({"images_per_label": 65}, InvalidError, "too_many_images_per_label"),
        ({"data_set": "tiny"}, InvalidError, "too_few_images"),
    ],
)
def test_a_job_that_cannot_run_is_refused(
    rig: Rig, request_: dict[str, Any], error: type[LRSearchError], code: str
) -> None:
    rig.register_source_model("unchecked")
    rig.add_data_set("tiny", images_per_label=1)
    with pytest.raises(error) as caught:
        rig.submit(**request_)
    assert caught.value.code == code


def test_as_many_images_per_label_as_the_splits_leave_are_accepted(rig: Rig) -> None:
    assert rig.submit(images_per_label=64).request.images_per_label == 64


def test_submitting_again_with_the_same_key_makes_no_second_job(rig: Rig) -> None:
    first = rig.submit(key="abc")
    assert rig.submit(key="abc").id == first.id
    assert rig.submit(key="abd").id != first.id
    assert rig.submit().id != first.id


def test_a_key_is_not_good_for_another_request(rig: Rig) -> None:
    rig.submit(key="abc")
    with pytest.raises(ConflictError) as caught:
        rig.submit(key="abc", priority=1)
    assert caught.value.code == "idempotency_conflict"


def test_submitting_at_the_same_moment_with_the_same_key_makes_one_job(rig: Rig) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: rig.submit(key="abc"), range(8)))
    assert len({job.id for job in jobs}) == 1
    assert [trial.number for trial in rig.trials(jobs[0])] == [0]


def test_a_job_runs_from_its_baseline_to_its_result(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02, 0.05]))
    states = [job.state]
    for val_top1 in (0.5, 0.7, 0.6):
        lease = rig.claim()
        states.append(rig.job(job).state)
        rig.complete(lease, val_top1, seconds=2.0)
    states.append(rig.job(job).state)
    final = rig.claim()
    assert isinstance(final.work[0], FinalWork)
    assert final.work[0].winner_weights == _weights(rig, job.id, 1)
    assert final.work[0].baseline_weights == _weights(rig, job.id, 0)
    rig.report(final, final.work[0], final_report())
    finished = rig.job(job)
    states.append(finished.state)
    assert states == ["waiting", "running", "running", "running", "finalising", "complete"]
    assert finished.spent == Spent(trials=2, epochs=4, seconds=6.0)
    assert finished.trials_finished == finished.trials_planned == 3
    assert finished.started_at is not None
    assert finished.finished_at is not None
    assert rig.try_claim() is None


def test_without_enough_test_images_the_job_ends_with_its_last_trial(rig: Rig) -> None:
    rig.add_data_set("scarce", images_per_label=45)  # 27 test images
    job = rig.submit(data_set="scarce", protocol=LastLayer(ll=[0.02]))
    for _ in range(2):
        rig.complete(rig.claim(), 0.5)
    assert rig.job(job).state == "complete"
    assert rig.result(job).evaluation == "validation_only"


@pytest.mark.parametrize("strategy", ["exhaustive", "random", "tpe"])
@one_database
def test_a_finite_search_ends_with_its_last_point(rig: Rig, strategy: str) -> None:
    job = rig.submit(
        protocol=LastLayer(ll=[0.01, 0.02, 0.05]), strategy=strategy, budget=Budget(trials=50)
    )
    for _ in range(3):
        assert rig.job(job).state != "finalising"
        rig.complete(rig.claim(), 0.5)
    assert rig.job(job).state == "finalising"


def test_a_job_without_any_complete_trial_has_failed_and_says_why(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.end(rig.claim(), "failed")
    rig.end(rig.claim(), "diverged")
    finished = rig.job(job)
    assert finished.state == "failed"
    assert finished.best is None
    assert finished.reason == "no trial ran to its end: 1 failed, 1 diverged"


@one_database
def test_a_failed_job_quotes_its_last_trials_reason(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    for _ in range(3):
        rig.lose(rig.claim(rig.worker(name="gpu-7")))
    assert rig.job(job).reason == (
        "no trial ran to its end: 1 failed; the last reason: lost 3 times; "
        "the last time worker gpu-7 was not heard of for 30 s"
    )


def test_a_final_test_that_cannot_be_run_fails_the_job(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    rig.report(lease, lease.work[0], FailedReport(reason="the weights are unreadable"))
    finished = rig.job(job)
    assert finished.state == "failed"
    assert finished.reason == "the final test could not be run: the weights are unreadable"


def test_a_cancelled_job_gives_back_what_was_reserved(rig: Rig) -> None:
    job = rig.submit(epochs=10, budget=Budget(epochs=100, seconds=100.0))
    rig.complete(rig.claim(), 0.5, seconds=3.0)
    lease = rig.claim(max_trials=4)
    assert rig.job(job).spent.epochs == 10 * len(lease.work)
    rig.heartbeat(lease, {lease.work[0].id: [0.3, 0.4]})
    cancelled = rig.cancel(job.id)
    assert cancelled.state == "cancelled"
    assert cancelled.reason == "cancelled by the user"
    assert cancelled.spent.epochs == 2  # those that were run
    assert {trial.state for trial in rig.trials(job)} == {"complete", "cancelled"}
    assert cancelled.trials_finished == len(rig.trials(job))
    assert _seconds_reserved(rig, job.id) == 0.0
    assert rig.try_claim() is None


@pytest.mark.parametrize("end", ["cancelled", "complete"])
def test_a_job_that_is_over_cannot_be_cancelled(rig: Rig, end: str) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    if end == "complete":
        rig.run()
    else:
        rig.cancel(job.id)
    with pytest.raises(ConflictError) as caught:
        rig.cancel(job.id)
    assert caught.value.code == "job_finished"
    assert rig.job(job).state == end


def test_an_unknown_job_cannot_be_cancelled(rig: Rig) -> None:
    with pytest.raises(NotFoundError):
        rig.cancel("018f0000-0000-7000-8000-000000000000")


@one_database
def test_every_trial_has_the_rates_of_its_point(rig: Rig) -> None:
    protocols: list[Protocol] = [
        Uniform(),
        Graduated(scale=LogRange(low=0.5, high=2.0)),
        Staged(),
    ]
    for protocol in protocols:
        job = rig.submit(protocol=protocol, strategy="random", budget=Budget(trials=3))
        rig.run()
        assert len(rig.trials(job)) == 1 + 3
        for trial in rig.trials(job)[1:]:
            assert trial.rates == protocol.rates(trial.point)


def test_the_seconds_of_a_lost_attempt_stay_reserved_for_the_next(rig: Rig) -> None:
    rig.submit(budget=Budget(seconds=100.0))
    limits = []
    for _ in range(2):
        lease = rig.claim()
        assert isinstance(lease.work[0], TrialWork)
        limits.append(lease.work[0].seconds_limit)
        rig.lose(lease)
    assert limits == [100.0, 100.0]


def _weights(rig: Rig, job_id: str, number: int) -> str | None:
    with rig.database.read() as session:
        return session.scalar(
            select(TrialRow.weights_sha256).where(
                TrialRow.job_id == job_id, TrialRow.number == number
            )
        )


def _seconds_reserved(rig: Rig, job_id: str) -> float:
    with rig.database.read() as session:
        return session.get_one(JobRow, job_id).seconds_reserved
