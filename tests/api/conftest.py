"""Running services, and data sets in them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog

from lrsearch.access import keys
from lrsearch.contract.keys import KeyRequest
from lrsearch.settings import Settings
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api, guarding, serving

Json = dict[str, Any]

PATIENCE_SECONDS = 60.0

UNTHROTTLED: Json = {"max_requests_per_second": 0.0}
"""Tests ask again at once, with keys that fleets do not have."""


@pytest.fixture(scope="session", autouse=True)
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Has the services log to a file; what the library would print of errors takes seconds."""
    with (tmp_path_factory.mktemp("log") / "service.log").open("w", encoding="utf-8") as stream:
        structlog.configure(
            processors=[
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(),
            ],
            logger_factory=structlog.WriteLoggerFactory(stream),
        )
        yield
        structlog.reset_defaults()


@pytest.fixture(scope="module")
def guarded(migrated_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service on SQLite that demands keys, as on an address that other machines can reach."""
    folder = tmp_path_factory.mktemp("guarded") / "data"
    shutil.copytree(migrated_sqlite.data_dir, folder)
    everywhere = "0.0.0.0"  # noqa: S104 - it listens on loopback here, whatever this says
    with guarding(Settings(data_dir=folder, host=everywhere, **UNTHROTTLED)) as api:
        yield api


@pytest.fixture
def sqlite_settings(migrated_sqlite: Settings, tmp_path: Path) -> Callable[..., Settings]:
    """Makes settings of a service on SQLite that nothing has happened in."""

    def settings(**changes: Any) -> Settings:
        folder = tmp_path / "data"
        shutil.copytree(migrated_sqlite.data_dir, folder, dirs_exist_ok=True)
        return Settings(data_dir=folder, **(UNTHROTTLED | changes))

    return settings


@pytest.fixture(scope="module")
def api(migrated_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service on SQLite of the module's own, with a data set `animals` that is ready.

    Its tests leave no work behind: the next one's worker would be given it.
    """
    folder = tmp_path_factory.mktemp("own") / "data"
    shutil.copytree(migrated_sqlite.data_dir, folder)
    with serving(Settings(data_dir=folder)) as api:
        uploaded(api, "animals", zip_of(silhouettes()))
        yield api


@pytest.fixture
def submit(api: Api) -> Iterator[Callable[[Json], Json]]:
    """Submits jobs, which are cancelled after the test."""
    ids: list[str] = []

    def submit(request: Json) -> Json:
        answer = api.post("/v1/jobs", json=request)
        assert answer.status_code == 201, answer.text
        job: Json = answer.json()
        ids.append(job["id"])
        return job

    yield submit
    for job_id in ids:
        api.post(f"/v1/jobs/{job_id}/cancel")


@pytest.fixture(scope="session")
def shared(migrated_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service on SQLite for tests that leave nothing for others to stumble over.

    It takes folders below `images`, uploads of 1 MiB, and has a data set `animals` that is ready:
    3 labels of 20 images, on which a job is complete.
    """
    folder = tmp_path_factory.mktemp("shared") / "data"
    shutil.copytree(migrated_sqlite.data_dir, folder)
    (folder / "images").mkdir()
    settings = Settings(
        data_dir=folder,
        image_roots=[folder / "images"],
        max_upload_bytes=1024 * 1024,
        max_body_bytes=64 * 1024,
    )
    with serving(settings) as api:
        uploaded(api, "animals", zip_of(silhouettes()))
        request = {
            "data_set": "animals",
            "source_model": "random",
            "name": "finished",
            "confirm": False,
            "strategy": "exhaustive",
            "protocol": {"name": "uniform", "il": [0.0, 0.001, 0.01], "ll": [0.01]},
            "recipe": {"epochs": 2, "splits": {"validation": 0.16, "test": 0.5}},
        }
        assert api.post("/v1/jobs", json=request).status_code == 201
        FakeWorker(api).work_off({0: 0.5, 1: 0.9, 2: 0.7})
        yield api


@pytest.fixture(scope="session")
def finished(shared: Api) -> Json:
    """The shared service's job that is complete: trial 1 of 3 has won, at 0.9 on test images."""
    (job,) = shared.get("/v1/jobs", params={"name": "finished"}).json()["items"]
    assert job["state"] == "complete"
    return dict(job)


def secret(api: Api, *scopes: str, owner: str | None = None, **more: Any) -> str:
    """A new key, of an owner of its own where none is named."""
    owner = owner or f"owner-{uuid4().hex}"
    request = KeyRequest(name="-".join(scopes), owner=owner, scopes=list(scopes), **more)
    with api.service.database.write() as session:
        return keys.create_key(session, request).secret


def bearer(key: str) -> dict[str, str]:
    """The header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


def uploaded(api: httpx.Client, name: str, archive: bytes) -> Json:
    """A data set from an archive, validated."""
    answer = api.post("/v1/datasets", params={"name": name}, content=archive)
    assert answer.status_code == 202, answer.text
    return validated(api, name)


def validated(api: httpx.Client, name: str) -> Json:
    """A data set as soon as it is ready or rejected."""
    shown: Json = {}

    def is_over() -> bool:
        shown.update(api.get(f"/v1/datasets/{name}").json())
        return bool(shown["state"] != "validating")

    until(is_over)
    return shown


def until(condition: Callable[[], bool]) -> None:
    """Ask until it is so; whoever waits for what never comes is told."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline, "it did not come about"


def problem(answer: httpx.Response, status: int, code: str | None = None) -> Json:
    """The problem that an answer states, checked for what every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: Json = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "remedy", "errors", "paths"}
    assert body["status"] == status
    assert body["type"] == f"urn:lrsearch:problem:{body['code']}"
    assert body["detail"]
    assert body["remedy"]
    if code is not None:
        assert body["code"] == code, body
    return body
