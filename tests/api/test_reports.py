"""What a worker says of its work: taken once, under its lease, and only where it can be true."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lrsearch.contract.leases import (
    CheckModelReport,
    Epoch,
    FailedReport,
    FinalReport,
    Lease,
    ProbeWork,
    TrialReport,
    Work,
)
from tests.api.conftest import Json, problem
from tests.api.fake_worker import FakeWorker, final_report, learning_curve
from tests.api.samples import weights
from tests.api.serving import Api

EPOCHS = 2

REQUEST: Json = {
    "data_set": "animals",
    "source_model": "random",
    "confirm": False,
    "strategy": "exhaustive",
    "protocol": {"name": "last_layer", "ll": [0.01, 0.1]},
    "recipe": {"epochs": EPOCHS, "splits": {"validation": 0.16, "test": 0.5}},
}
"""The baseline and one other trial; 30 images are tested."""


@pytest.fixture
def job(submit: Callable[[Json], Json]) -> Json:
    return submit(REQUEST)


@pytest.fixture
def worker(api: Api, job: Json) -> FakeWorker:
    return FakeWorker(api)


def trial(api: Api, job: Json, number: int = 0) -> Json:
    answer: Json = api.get(f"/v1/jobs/{job['id']}/trials/{number}").json()
    return answer


def one(lease: Lease) -> Work:
    """The one trial, or the final test."""
    (work,) = [work for work in lease.work if not isinstance(work, ProbeWork)]
    return work


def to_the_final(worker: FakeWorker) -> Lease:
    """Work both trials off; returns the lease on the final test."""
    for top1 in (0.5, 0.8):
        lease = worker.claim()
        report = worker.finetune(lease, one(lease), top1)
        assert worker.report(lease, one(lease), report).status_code == 200
    lease = worker.claim()
    assert one(lease).kind == "final"
    return lease


def test_the_same_report_again_gets_the_same_reply(api: Api, job: Json, worker: FakeWorker) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    first = worker.report(lease, one(lease), report)
    told = trial(api, job)
    again = worker.report(lease, one(lease), report)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == {"accepted": True}
    assert trial(api, job) == told
    assert api.get(f"/v1/jobs/{job['id']}").json()["trials_finished"] == 1


def test_another_report_on_the_same_trial_is_refused_and_changes_nothing(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    worker.report(lease, one(lease), report)
    told = trial(api, job)
    better = report.model_copy(update={"curve": learning_curve(0.9, EPOCHS)})
    refused = problem(worker.report(lease, one(lease), better), 409, "report_conflict")
    assert one(lease).id in refused["detail"]
    assert "first report stands" in refused["remedy"]
    assert trial(api, job) == told


def test_weights_after_the_report_are_refused(api: Api, job: Json, worker: FakeWorker) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    worker.report(lease, one(lease), report)
    path = f"/v1/leases/{lease.id}/work/{one(lease).id}/weights"
    answer = api.put(path, content=weights(9), headers={"Lease-Token": lease.token})
    problem(answer, 409)


def test_only_the_leases_token_opens_it(api: Api, worker: FakeWorker) -> None:
    lease = worker.claim()
    forged = lease.model_copy(update={"token": "forged"})
    report = TrialReport(outcome="failed", reason="no", curve=[], seconds=0.0)
    problem(worker.report(forged, one(lease), report), 409, "lease_lost")
    problem(worker.release(forged), 409, "lease_lost")
    missing = api.post(f"/v1/leases/{lease.id}/heartbeat", json={})
    assert problem(missing, 422)["errors"][0]["field"].lower() == "lease-token"
    assert worker.beat(lease).directives == {work.id: "continue" for work in lease.work}


def test_a_cancelled_jobs_worker_is_told_so_and_its_report_does_not_count(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    assert api.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert worker.beat(lease).directives == {work.id: "cancel" for work in lease.work}
    refused = problem(worker.report(lease, one(lease), report), 409, "lease_lost")
    assert "cancelled" in refused["detail"]
    assert "claim again" in refused["remedy"]
    assert trial(api, job)["state"] == "cancelled"


def test_what_is_handed_back_waits_and_its_lease_is_gone(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    assert worker.release(lease).status_code == 204
    shown = trial(api, job)
    assert (shown["state"], shown["curve"], shown["attempts"]) == ("waiting", [], 0)
    assert "handed it back" in shown["reason"]
    problem(worker.report(lease, one(lease), report), 409, "lease_lost")
    assert one(worker.claim()).id == one(lease).id


def test_there_is_no_lease_and_no_work_that_was_not_given(api: Api, worker: FakeWorker) -> None:
    lease = worker.claim()
    report = FailedReport(reason="no")
    nobody = lease.model_copy(update={"id": "00000000-0000-7000-8000-000000000000"})
    problem(worker.report(nobody, one(lease), report), 404, "lease_unknown")
    elsewhere = one(lease).model_copy(update={"id": lease.id})
    problem(worker.report(lease, elsewhere, report), 404, "work_unknown")


@pytest.mark.parametrize("named", [None, "0" * 64])
def test_the_best_trials_weights_must_have_been_uploaded(
    worker: FakeWorker, named: str | None
) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6)
    without = report.model_copy(update={"weights_sha256": named})
    refused = problem(worker.report(lease, one(lease), without), 422, "weights_missing")
    assert refused["errors"][0]["field"] == "weights_sha256"
    assert worker.report(lease, one(lease), report).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"curve": learning_curve(0.5, EPOCHS - 1)}, "curve"),
        ({"curve": learning_curve(0.5, EPOCHS + 1)}, "curve"),
        ({"curve": learning_curve(0.5, EPOCHS)[::-1]}, "curve"),
        ({"curve": []}, "curve"),
    ],
)
def test_a_complete_trial_has_every_epoch_once(
    api: Api, job: Json, worker: FakeWorker, changes: Json, field: str
) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6).model_copy(update=changes)
    refused = problem(worker.report(lease, one(lease), report), 422, "invalid")
    assert refused["errors"][0]["field"] == field
    assert trial(api, job)["state"] == "running"


def post(api: Api, lease: Lease, path: str, body: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Lease-Token": lease.token}
    return api.post(f"/v1/leases/{lease.id}{path}", content=body, headers=headers)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ('"train_loss": NaN', "train_loss"),
        ('"val_loss": Infinity', "val_loss"),
        ('"val_top1": 1.01', "val_top1"),
        ('"epoch": 0', "epoch"),
        ('"seconds": -1', "seconds"),
    ],
)
def test_a_curve_of_no_numbers_is_refused_by_field(
    api: Api, worker: FakeWorker, values: str, field: str
) -> None:
    lease = worker.claim()
    good = '"epoch": 1, "train_loss": 1, "val_loss": 1, "val_top1": 0.5, "seconds": 1'
    metrics = f"{{{good}, {values}}}"  # of a name that stands twice the last one counts
    beat = f'{{"epochs": [{{"work_id": "{one(lease).id}", "metrics": {metrics}}}]}}'
    refused = problem(post(api, lease, "/heartbeat", beat), 422, "invalid")
    assert refused["errors"][0]["field"] == f"epochs.0.metrics.{field}"
    report = f'{{"kind": "trial", "outcome": "failed", "curve": [{metrics}], "seconds": 1}}'
    refused = problem(post(api, lease, f"/work/{one(lease).id}/report", report), 422, "invalid")
    assert refused["errors"][0]["field"] == f"curve.0.{field}"


def test_an_epoch_beyond_the_recipes_is_refused(worker: FakeWorker, api: Api) -> None:
    lease = worker.claim()
    beyond = learning_curve(0.5, EPOCHS + 1)[-1]
    beat = {"epochs": [Epoch(work_id=one(lease).id, metrics=beyond).model_dump()]}
    headers = {"Lease-Token": lease.token}
    answer = api.post(f"/v1/leases/{lease.id}/heartbeat", json=beat, headers=headers)
    assert f"{EPOCHS} epochs" in problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    "report",
    [CheckModelReport(accepted=True), final_report(20, 10)],
    ids=["of a check", "of a final test"],
)
def test_a_report_must_be_of_the_works_kind(
    api: Api, job: Json, worker: FakeWorker, report: Any
) -> None:
    lease = worker.claim()
    refused = problem(worker.report(lease, one(lease), report), 422, "invalid")
    assert refused["errors"][0]["field"] == "kind"
    assert trial(api, job)["state"] == "running"


def test_a_failed_trial_says_why_and_scores_nothing(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = worker.claim()
    assert worker.report(lease, one(lease), FailedReport(reason="no memory")).status_code == 200
    shown = trial(api, job)
    assert (shown["state"], shown["reason"], shown["val_top1"]) == ("failed", "no memory", None)


def scores(**changes: Any) -> Json:
    report = final_report(20, 10).model_dump(mode="json")
    for path, value in changes.items():
        *above, last = path.split("__")
        place = report
        for part in above:
            place = place[part]
        place[last] = value
    return report


UNTRUE: list[Json] = [
    {"winner__correct": 31},
    {"winner__correct": 10**30, "winner__images": 10**30},
    {"winner__images": 29},
    {"baseline__images": 31},
    {"only_winner_correct": 31},
    {"only_baseline_correct": 31},
    {"only_winner_correct": 10**12, "only_baseline_correct": 10**12},
    {"winner": None},
    {"baseline": None},
    {"winner__loss": None},
    {"seconds": 1e300},
]


def test_a_final_report_that_cannot_be_true_is_refused(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = to_the_final(worker)
    headers = {"Lease-Token": lease.token}
    path = f"/v1/leases/{lease.id}/work/{one(lease).id}/report"
    for changes in UNTRUE:
        problem(api.post(path, json=scores(**changes), headers=headers), 422, "invalid")
    assert api.get(f"/v1/jobs/{job['id']}").json()["state"] == "finalising"
    assert api.post(path, json=scores(), headers=headers).status_code == 200
    assert api.get(f"/v1/jobs/{job['id']}").json()["state"] == "complete"


def test_work_that_is_no_trial_has_no_epochs(api: Api, job: Json, worker: FakeWorker) -> None:
    lease = to_the_final(worker)
    epoch = Epoch(work_id=one(lease).id, metrics=learning_curve(0.5, 1)[0])
    beat = {"epochs": [epoch.model_dump()]}
    headers = {"Lease-Token": lease.token}
    answer = api.post(f"/v1/leases/{lease.id}/heartbeat", json=beat, headers=headers)
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == "epochs"
    assert worker.beat(lease).directives == {one(lease).id: "continue"}


def test_a_final_test_that_fails_fails_the_job_with_its_reason(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = to_the_final(worker)
    worker.report(lease, one(lease), FailedReport(reason="the disk is full"))
    failed = api.get(f"/v1/jobs/{job['id']}").json()
    assert failed["state"] == "failed"
    assert "the disk is full" in failed["reason"]
    assert "the disk is full" in problem(api.get(f"/v1/jobs/{job['id']}/result"), 404)["detail"]


def test_seconds_beyond_reason_are_refused(worker: FakeWorker, api: Api) -> None:
    lease = worker.claim()
    report = worker.finetune(lease, one(lease), 0.6).model_copy(update={"seconds": 1e300})
    problem(worker.report(lease, one(lease), report), 422, "invalid")


def test_the_final_report_of_a_failed_baseline_names_the_winner_only(
    api: Api, job: Json, worker: FakeWorker
) -> None:
    lease = worker.claim()
    worker.report(lease, one(lease), FailedReport(reason="no memory"))
    lease = worker.claim()
    worker.report(lease, one(lease), worker.finetune(lease, one(lease), 0.8))
    lease = worker.claim()
    alone = final_report(20, 10).model_copy(
        update={"baseline": None, "only_winner_correct": 0, "only_baseline_correct": 0}
    )
    assert isinstance(alone, FinalReport)
    assert worker.report(lease, one(lease), alone).status_code == 200
    result = api.get(f"/v1/jobs/{job['id']}/result").json()
    assert (result["baseline"], result["gain_points"]) == (None, None)
    assert result["winner"]["test_top1"] == pytest.approx(20 / 30)
