"""Checkpoints over HTTP: uploaded and fetched under the lease, and by nobody else."""

from collections.abc import Callable
from hashlib import sha256

import httpx

from lrsearch.contract.leases import LEASE_TOKEN_HEADER, Lease
from tests.api.conftest import Json, bearer, problem, secret
from tests.api.fake_worker import FakeWorker
from tests.api.serving import Api

STATE = b"weights and momentum after two epochs"

REQUEST = {"data_set": "animals", "source_model": "random", "recipe": {"epochs": 3}}


def test_the_next_holder_of_a_trial_gets_what_the_last_one_sent(
    api: Api, submit: Callable[[Json], Json]
) -> None:
    submit(REQUEST)
    worker = FakeWorker(api)
    first = worker.claim()
    problem(fetch(api, first), 404, "blob_unknown")
    for content in (b"after one epoch", STATE, STATE):
        sent = send(api, first, content).json()
        assert sent == {"sha256": sha256(content).hexdigest(), "size_bytes": len(content)}
    assert stored(api) == {sha256(STATE).hexdigest()}  # the one before went at once
    worker.release(first)
    problem(fetch(api, first), 409, "lease_lost")

    second = worker.claim()
    assert second.work[-1].model_dump()["checkpoint"]["sha256"] == sha256(STATE).hexdigest()
    assert fetch(api, second).content == STATE
    problem(api.get(f"/v1/blobs/{sha256(STATE).hexdigest()}"), 404, "blob_unknown")


def test_a_checkpoint_of_another_content_than_it_says_is_not_linked(
    api: Api, submit: Callable[[Json], Json]
) -> None:
    submit(REQUEST)
    lease = FakeWorker(api).claim()
    damaged = send(api, lease, STATE[:-1], sha256(STATE).hexdigest())
    assert problem(damaged, 422, "invalid")["errors"][0]["field"] == "sha256"
    problem(fetch(api, lease), 404, "blob_unknown")


def test_a_key_that_is_no_workers_gets_no_checkpoint(guarded: Api) -> None:
    url = f"/v1/leases/{'0' * 36}/work/{'0' * 36}/checkpoint"
    for scope, status in (("submit", 403), ("worker", 404)):
        headers = bearer(secret(guarded, scope)) | {LEASE_TOKEN_HEADER: "guessed"}
        problem(guarded.get(url, headers=headers), status)


def send(api: Api, lease: Lease, content: bytes, digest: str | None = None) -> httpx.Response:
    return api.put(
        _url(lease),
        params={"sha256": digest or sha256(content).hexdigest(), "epochs": 2},
        content=content,
        headers={LEASE_TOKEN_HEADER: lease.token},
    )


def fetch(api: Api, lease: Lease) -> httpx.Response:
    return api.get(_url(lease), headers={LEASE_TOKEN_HEADER: lease.token})


def stored(api: Api) -> set[str]:
    folder = api.settings.data_dir / "checkpoints"
    return {path.name for path in folder.rglob("*") if path.is_file()}


def _url(lease: Lease) -> str:
    return f"/v1/leases/{lease.id}/work/{lease.work[-1].id}/checkpoint"
