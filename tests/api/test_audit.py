"""The audit log: who did what, and who was refused."""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from lrsearch.settings import Settings
from tests.api.conftest import bearer, secret, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import checkpoint, silhouettes, zip_of
from tests.api.serving import Api, guarding

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def api(sqlite_settings: Callable[..., Settings]) -> Iterator[Api]:
    with guarding(sqlite_settings(require_keys=True)) as api:
        yield api


@pytest.fixture
def lines(api: Api) -> Iterator[Lines]:
    with capture_logs() as lines:
        yield lines


def audited(lines: Lines) -> Lines:
    """What the audit log has been told since the last look."""
    found = [line for line in lines if line["event"] == "audit"]
    lines.clear()
    return found


def test_everything_that_changes_something_is_told_with_who_did_it(api: Api, lines: Lines) -> None:
    admin, worker = bearer(secret(api, "admin", owner="root")), bearer(secret(api, "worker"))
    new = api.post("/v1/keys", json={"name": "ada"}, headers=admin).json()
    (told,) = audited(lines)
    assert (told["action"], told["owner"]) == ("create_key", "root")
    assert (told["created"], told["for_owner"]) == (new["key"]["id"], "ada")
    assert new["secret"] not in str(told)

    api.headers.update(bearer(new["secret"]))
    data_set = uploaded(api, "animals", zip_of(silhouettes()))
    params = {"name": "mine"}
    model = api.post("/v1/source-models", params=params, content=checkpoint()).json()
    request = {"data_set": "animals", "source_model": "random"}
    job = api.post("/v1/jobs", json=request).json()
    api.get("/v1/datasets/animals/content")
    api.post(f"/v1/jobs/{job['id']}/cancel")
    told_of_ada = audited(lines)
    assert [(line["owner"], line["key"]) for line in told_of_ada] == [("ada", new["key"]["id"])] * 5
    assert [line["action"] for line in told_of_ada] == [
        "upload_data_set",
        "register_source_model",
        "submit_job",
        "download_data_set",
        "cancel_job",
    ]
    assert told_of_ada[0]["data_set"] == told_of_ada[3]["data_set"] == data_set["id"]
    assert told_of_ada[1]["source_model"] == model["id"]
    assert told_of_ada[2]["job"] == told_of_ada[4]["job"] == job["id"]

    api.headers.update(worker)
    FakeWorker(api, "gpu")
    change = {"limits": {"running_jobs": 1}}
    api.patch(f"/v1/keys/{new['key']['id']}", json=change, headers=admin)
    api.post(f"/v1/keys/{new['key']['id']}/revoke", headers=admin)
    told_of_others = audited(lines)
    assert [line["action"] for line in told_of_others] == [
        "register_worker",
        "change_key",
        "revoke_key",
    ]
    registered, changed, revoked = told_of_others
    assert registered["name"] == "gpu"
    assert (changed["changed"], changed["limits"]) == (new["key"]["id"], '{"running_jobs": 1}')
    assert revoked["revoked"] == new["key"]["id"]


def test_looking_is_not_told(api: Api, lines: Lines) -> None:
    headers = bearer(secret(api, "read"))
    for path in ("/v1/jobs", "/v1/datasets", "/v1/source-models", "/v1/workers"):
        assert api.get(path, headers=headers).status_code == 200
    assert audited(lines) == []


def test_who_is_refused_is_told_with_what_they_asked(api: Api, lines: Lines) -> None:
    slow = secret(api, "read", owner="ada", limits={"requests_per_second": 0.01})
    api.get("/v1/jobs")
    api.get("/v1/jobs", headers=bearer("lrs_nobody"))
    api.post("/v1/jobs", headers=bearer(slow))
    api.get("/v1/jobs", headers=bearer(slow))
    api.get("/dashboard/", headers=bearer(slow))
    told = audited(lines)
    assert {line["action"] for line in told} == {"be_refused"}
    assert {line["address"] for line in told} == {"127.0.0.1"}
    assert [(line["owner"], line["code"], line["request"]) for line in told] == [
        (None, "unauthenticated", "GET /v1/jobs"),
        (None, "unauthenticated", "GET /v1/jobs"),
        ("ada", "forbidden", "POST /v1/jobs"),
        ("ada", "too_many_requests", "GET /v1/jobs"),
        (None, "unauthenticated", "GET /dashboard/"),
    ]
    assert slow not in str(told)
