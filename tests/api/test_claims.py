"""Claims that wait for work."""

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from lrsearch.api.routes import leases as routes
from lrsearch.contract.leases import (
    CheckModelReport,
    CheckModelWork,
    Claim,
    Lease,
    ProbeWork,
    TrialWork,
)
from lrsearch.leasing.claims import Asked
from lrsearch.leasing.put_back import GONE
from tests.api.conftest import Json, problem, until
from tests.api.fake_worker import FakeWorker
from tests.api.samples import checkpoint
from tests.api.serving import Api

NEVER_POLLS = 600.0
"""Seconds between looks: a claim that is answered before its end was woken by the bell."""

LONG = 60.0
"""Seconds that a claim waits; the tests lose patience long before."""

PATIENCE = 20.0


def waits(api: Api, worker: FakeWorker) -> bool:
    """Whether the worker's claim has reached the service."""
    (seen,) = (w for w in api.get("/v1/workers").json()["items"] if w["id"] == worker.worker.id)
    return bool(seen["seen_at"] != seen["registered_at"])


def test_without_work_a_claim_that_does_not_wait_is_answered_at_once(api: Api) -> None:
    answer = FakeWorker(api).ask(wait_seconds=0)
    assert (answer.status_code, answer.content) == (204, b"")


def test_a_waiting_claim_gets_the_job_that_is_submitted_meanwhile(
    api: Api, submit: Callable[[Json], Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CLAIM_POLL_SECONDS", NEVER_POLLS)
    worker = FakeWorker(api)
    with ThreadPoolExecutor() as pool:
        claim = pool.submit(worker.ask, wait_seconds=LONG)
        until(lambda: waits(api, worker))
        job = submit({"data_set": "animals", "source_model": "random"})
        lease = Lease.model_validate_json(claim.result(PATIENCE).content)
    assert lease.task is not None
    assert (lease.task.job_id, lease.task.data_set_id) == (job["id"], job["data_set_id"])
    assert isinstance(lease.work[0], ProbeWork)
    assert isinstance(lease.work[1], TrialWork)
    assert lease.work[1].baseline


def test_a_waiting_claim_gets_the_checkpoint_that_is_registered_meanwhile(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CLAIM_POLL_SECONDS", NEVER_POLLS)
    worker = FakeWorker(api)
    with ThreadPoolExecutor() as pool:
        claim = pool.submit(worker.ask, wait_seconds=LONG)
        until(lambda: waits(api, worker))
        api.post("/v1/source-models", params={"name": "mine"}, content=checkpoint())
        lease = Lease.model_validate_json(claim.result(PATIENCE).content)
    assert isinstance(lease.work[0], CheckModelWork)
    assert (lease.task, lease.work[0].source_model.name) == (None, "mine")
    worker.report(lease, lease.work[0], CheckModelReport(accepted=True))


def test_work_that_is_handed_back_goes_to_a_waiting_claim(
    api: Api, submit: Callable[[Json], Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CLAIM_POLL_SECONDS", NEVER_POLLS)
    only_the_baseline = {"name": "last_layer", "ll": [0.01]}
    submit({"data_set": "animals", "source_model": "random", "protocol": only_the_baseline})
    first, second = FakeWorker(api, "first"), FakeWorker(api, "second")
    lease = first.claim()
    with ThreadPoolExecutor() as pool:
        claim = pool.submit(second.ask, wait_seconds=LONG)
        until(lambda: waits(api, second))
        assert first.release(lease).status_code == 204
        taken_over = Lease.model_validate_json(claim.result(PATIENCE).content)
    assert [work.id for work in taken_over.work] == [work.id for work in lease.work]


def test_a_claim_whose_worker_has_gone_takes_nothing(
    api: Api, submit: Callable[[Json], Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CLAIM_POLL_SECONDS", NEVER_POLLS)
    gone, there = FakeWorker(api, "gone"), FakeWorker(api, "there")
    body = Claim(worker_id=gone.worker.id, wait_seconds=LONG).model_dump_json()
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(_post(body))
        until(lambda: waits(api, gone))
    job = submit({"data_set": "animals", "source_model": "random"})
    there.claim()
    baseline = api.get(f"/v1/jobs/{job['id']}/trials/0").json()
    assert (baseline["worker"], baseline["attempts"]) == ("there", 1)


def test_what_is_granted_to_one_who_has_gone_meanwhile_waits_again(
    api: Api, submit: Callable[[Json], Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, there = FakeWorker(api, "gone"), FakeWorker(api, "there")
    job = submit({"data_set": "animals", "source_model": "random"})
    body = Claim(worker_id=gone.worker.id).model_dump_json()
    begun, let_go, serve = Event(), Event(), api.service.claims._serve

    def hold_up(claims: Sequence[Asked]) -> Sequence[Lease | Exception | None]:
        begun.set()
        assert let_go.wait(PATIENCE)
        return serve(claims)

    with monkeypatch.context() as patch:
        patch.setattr(api.service.claims, "_serve", hold_up)
        with socket.create_connection(("127.0.0.1", api.port)) as connection:
            connection.sendall(_post(body))
            assert begun.wait(PATIENCE)
        assert api.get("/healthz").status_code == 200  # it has noticed by now
        let_go.set()
        path = f"/v1/jobs/{job['id']}/trials/0"
        until(lambda: GONE in (api.get(path).json()["reason"] or ""))
    there.claim()
    baseline = api.get(path).json()
    assert (baseline["worker"], baseline["attempts"]) == ("there", 1)


def test_a_worker_that_is_not_registered_is_told_to_register(shared: Api) -> None:
    answer = shared.post(
        "/v1/leases", json={"worker_id": "00000000-0000-7000-8000-000000000000", "wait_seconds": 0}
    )
    assert "POST /v1/workers" in problem(answer, 404, "worker_unknown")["remedy"]


def _post(body: str) -> bytes:
    """A claim as it is sent."""
    head = "POST /v1/leases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
