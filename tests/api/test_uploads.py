"""Uploads and bodies: how much is taken, and what is left of those that are not taken."""

import http.client
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrsearch import validation
from lrsearch.contract.leases import TrialWork
from lrsearch.intake.validate import build_data_set
from lrsearch.settings import Settings
from tests.api.conftest import Json, problem, until, uploaded, validated
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, weights, zip_of
from tests.api.serving import Api, serving

MAX_UPLOAD = 100_000
MAX_BODY = 10_000

ANIMALS = zip_of(silhouettes())
UPLOADS = ["/v1/datasets?name=big", "/v1/source-models?name=big"]


@pytest.fixture(scope="module")
def api(migrated_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service that takes little, with a data set `animals` that is ready."""
    folder = tmp_path_factory.mktemp("small") / "data"
    shutil.copytree(migrated_sqlite.data_dir, folder)
    settings = Settings(data_dir=folder, max_upload_bytes=MAX_UPLOAD, max_body_bytes=MAX_BODY)
    with serving(settings) as api:
        uploaded(api, "animals", ANIMALS)
        yield api


def in_chunks(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    """Has httpx send it chunked, without a Content-Length."""
    return (content[i : i + size] for i in range(0, len(content), size))


def test_an_archive_is_taken_whole_or_in_chunks(api: Api) -> None:
    whole = uploaded(api, "whole", ANIMALS)
    answer = api.post("/v1/datasets", params={"name": "chunks"}, content=in_chunks(ANIMALS))
    assert answer.status_code == 202
    chunks = validated(api, "chunks")
    assert (whole["state"], chunks["state"]) == ("ready", "ready")
    assert whole["fingerprint"] == chunks["fingerprint"]


def test_a_data_set_shows_how_far_its_validation_is(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_way, go_on = threading.Event(), threading.Event()

    def build_haltingly(members: Any, out: Any, limits: Any, progress: Any) -> Any:
        progress(30, 60)
        half_way.set()
        go_on.wait()
        return build_data_set(members, out, limits, progress)

    monkeypatch.setattr(validation, "build_data_set", build_haltingly)
    sent = api.post("/v1/datasets", params={"name": "halting"}, content=ANIMALS).json()
    assert (sent["state"], sent["progress"]) == ("validating", {"done": 0, "total": None})

    half_way.wait()
    halted = api.get("/v1/datasets/halting").json()
    assert (halted["state"], halted["progress"]) == ("validating", {"done": 30, "total": 60})
    problem(api.get("/v1/datasets/halting/content"), 409, "data_set_validating")
    early = api.post("/v1/jobs", json={"data_set": "halting", "source_model": "random"})
    assert (early.status_code, early.json()["reason_code"]) == (201, "data_set_validating")
    assert "30 of 60 files" in early.json()["reason"]

    go_on.set()
    ready = validated(api, "halting")
    assert (ready["state"], ready["progress"]) == ("ready", {"done": 60, "total": 60})
    begun = api.get(f"/v1/jobs/{early.json()['id']}").json()
    assert (begun["state"], begun["reason_code"]) == ("waiting", "no_worker")
    api.post(f"/v1/jobs/{begun['id']}/cancel")


@pytest.mark.parametrize("path", UPLOADS)
@pytest.mark.parametrize("send", [bytes, in_chunks], ids=["whole", "chunked"])
def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(
    api: Api, path: str, send: Callable[[bytes], bytes | Iterator[bytes]]
) -> None:
    before = api.stored_files()
    refused = problem(api.post(path, content=send(bytes(MAX_UPLOAD + 1))), 413, "too_large")
    assert refused["detail"].startswith("body: ")
    assert str(MAX_UPLOAD) in refused["detail"]
    assert "LRSEARCH_MAX_UPLOAD_BYTES" in refused["remedy"]
    assert api.stored_files() == before
    problem(api.get(path.replace("?name=", "/")), 404)


CHECKPOINT = f"checkpoint?epochs=1&sha256={sha256(bytes(MAX_BODY + 1)).hexdigest()}"


@pytest.mark.parametrize("file", ["weights", CHECKPOINT])
def test_weights_over_the_limit_are_refused_and_leave_nothing(
    api: Api, submit: Callable[[Json], Json], file: str
) -> None:
    submit({"data_set": "animals", "source_model": "random"})
    worker = FakeWorker(api)
    lease = worker.claim()
    path = f"/v1/leases/{lease.id}/work/{lease.work[-1].id}/{file}"
    before = api.stored_files()
    large = api.put(path, content=bytes(MAX_UPLOAD + 1), headers={"Lease-Token": lease.token})
    problem(large, 413, "too_large")
    assert api.stored_files() == before
    taken = api.put(path, content=bytes(MAX_BODY + 1), headers={"Lease-Token": lease.token})
    assert taken.json()["size_bytes"] == MAX_BODY + 1


def test_an_announced_upload_over_the_limit_is_refused_before_it_is_sent(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    connection.putrequest("POST", UPLOADS[0])
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("content-type")) == (413, "application/problem+json")
    connection.close()


@pytest.mark.parametrize("path", UPLOADS)
def test_an_empty_upload_is_refused(shared: Api, path: str) -> None:
    refused = problem(shared.post(path), 422, "invalid")
    assert refused["errors"][0]["field"] == "body"
    assert "curl" in refused["detail"]


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/v1/leases", "/v1/workers", "/v1/datasets/folders", "/v1/nothing"]
)
@pytest.mark.parametrize("send", [bytes, in_chunks], ids=["whole", "chunked"])
def test_a_body_over_the_limit_is_refused(
    api: Api, path: str, send: Callable[[bytes], bytes | Iterator[bytes]]
) -> None:
    body = b'{"data_set": "' + b"x" * MAX_BODY + b'"}'
    headers = {"Content-Type": "application/json"}
    refused = problem(api.post(path, content=send(body), headers=headers), 413, "too_large")
    assert str(MAX_BODY) in refused["detail"]


def test_a_body_up_to_the_limit_is_taken(api: Api) -> None:
    body = b'{"data_set": "nowhere"}'.ljust(MAX_BODY)
    headers = {"Content-Type": "application/json"}
    problem(api.post("/v1/jobs", content=body, headers=headers), 404, "data_set_unknown")
    problem(api.post("/v1/jobs", content=body + b" ", headers=headers), 413)


def test_the_same_name_again_is_refused_before_anything_is_sent(api: Api) -> None:
    before = api.stored_files()
    for path, name in (("/v1/datasets", "animals"), ("/v1/source-models", "random")):
        answer = httpx.post(f"{api.base_url}{path}", params={"name": name}, content=bytes(1000))
        refused = problem(answer, 409, "name_taken")
        assert refused["detail"].startswith("name: ")
        assert repr(name) in refused["detail"]
        assert "another name" in refused["remedy"]
    assert api.stored_files() == before


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", "ä", "x" * 101])
@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/source-models"])
def test_a_name_that_is_none_is_refused(shared: Api, path: str, name: str) -> None:
    refused = problem(shared.post(path, params={"name": name}, content=b"x"), 422, "invalid")
    assert refused["errors"][0]["field"] == "name"


def cut_off(api: Api, request: str, headers: str = "") -> None:
    """Send half an upload; returns when the service has seen its beginning and its end."""
    head = f"{request} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}"
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(ANIMALS)}\r\n\r\n".encode())
        connection.sendall(ANIMALS[: len(ANIMALS) // 2])
        until(lambda: bool(drafts(api)))
    until(lambda: not drafts(api))


def drafts(api: Api) -> list[Path]:
    """Uploads that have begun and not ended."""
    return list((api.settings.data_dir / "incoming").iterdir())


def test_an_archive_that_is_cut_off_leaves_no_data_set_and_no_file(api: Api) -> None:
    before = api.stored_files()
    cut_off(api, "POST /v1/datasets?name=half")
    assert api.stored_files() == before
    problem(api.get("/v1/datasets/half"), 404)
    assert uploaded(api, "half", ANIMALS)["state"] == "ready"  # the name is still free


def test_weights_that_are_cut_off_are_not_linked(api: Api, submit: Callable[[Json], Json]) -> None:
    submit({"data_set": "animals", "source_model": "random", "recipe": {"epochs": 1}})
    worker = FakeWorker(api)
    lease = worker.claim()
    work = lease.work[-1]
    assert isinstance(work, TrialWork)
    before = api.stored_files()
    cut_off(
        api, f"PUT /v1/leases/{lease.id}/work/{work.id}/weights", f"Lease-Token: {lease.token}\r\n"
    )
    assert api.stored_files() == before
    report = worker.finetune(lease, work, 0.5)
    assert report.weights_sha256 is not None
    assert worker.report(lease, work, report).status_code == 200
    assert api.get(f"/v1/blobs/{report.weights_sha256}").content == weights(0)
