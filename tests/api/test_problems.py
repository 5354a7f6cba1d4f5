"""Problems: whatever goes wrong is told in one form, and the form survives whatever was sent."""

import json
from typing import Any

import httpx
import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from lrsearch.jobs import jobs
from tests.api.conftest import problem
from tests.api.serving import Api

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/jobs/x/y/z", "/v1/datasets/"])
def test_a_route_that_does_not_exist_is_a_problem(shared: Api, method: str, path: str) -> None:
    missing = problem(shared.request(method, path), 404, "not_found")
    assert f"{method} {path}" in missing["detail"]
    assert "/docs" in missing["remedy"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", "GET, POST"),
        ("PUT", "/v1/datasets/animals", "GET"),
        ("GET", "/v1/datasets/folders/x", None),
        ("GET", "/v1/leases", "POST"),
        ("POST", "/healthz", "GET"),
        ("GET", "/v1/jobs/x/cancel", "POST"),
    ],
)
def test_a_method_that_a_route_does_not_take_is_a_problem(
    shared: Api, method: str, path: str, allowed: str | None
) -> None:
    answer = shared.request(method, path)
    if allowed is None:
        problem(answer, 404)
        return
    refused = problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    assert "Allow" in refused["remedy"]


@pytest.mark.parametrize("body", ["{", "{'data_set': 1}", '{"data_set": }', "nothing", "[1,"])
def test_what_is_no_json_is_told_with_its_place(shared: Api, body: str) -> None:
    refused = problem(shared.post("/v1/jobs", content=body, headers=JSON), 422, "malformed_json")
    assert refused["detail"].startswith("body: is not JSON")
    assert "at character" in refused["detail"]
    assert [error["field"] for error in refused["errors"]] == ["body"]
    assert "JSON object" in refused["remedy"]


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b"[" * 10_000])
def test_what_cannot_even_be_read_as_json_is_a_problem(shared: Api, body: bytes) -> None:
    assert problem(shared.post("/v1/jobs", content=body, headers=JSON), 400)["remedy"]


@pytest.mark.parametrize("body", ["[]", "7", '"text"', "null", ""])
def test_json_that_is_no_object_is_a_problem(shared: Api, body: str) -> None:
    refused = problem(shared.post("/v1/jobs", content=body, headers=JSON), 422, "invalid")
    assert refused["errors"][0]["field"] == "body"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_must_be_called_json(shared: Api, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = shared.post("/v1/jobs", content=b'{"data_set": "animals"}', headers=headers)
    refused = problem(answer, 415, "wrong_content_type")
    assert refused["detail"].startswith("Content-Type: ")
    assert (content_type or "missing") in refused["detail"]
    assert "Content-Type: application/json" in refused["remedy"]


@pytest.mark.parametrize(
    ("path", "body", "field", "says"),
    [
        ("/v1/jobs", {}, "data_set", "required"),
        ("/v1/jobs", {"data_set": 5}, "data_set", "string"),
        ("/v1/jobs", {"data_set": "a", "epochs": 5}, "epochs", "not permitted"),
        ("/v1/jobs", {"data_set": "a", "recipe": {"epochs": "x"}}, "recipe.epochs", "integer"),
        ("/v1/jobs", {"data_set": "a", "protocol": {"name": "best"}}, "protocol", "'uniform'"),
        ("/v1/jobs", {"data_set": "a", "strategy": "luck"}, "strategy", "'exhaustive'"),
        (
            "/v1/jobs",
            {"data_set": "a", "protocol": {"name": "uniform", "il": [0.1, "x"]}},
            "protocol.il.1",
            "number",
        ),
        (
            "/v1/jobs",
            {"data_set": "a", "protocol": {"name": "uniform", "il": {"low": 0.1}}},
            "protocol.il.high",
            "required",
        ),
        ("/v1/workers", {"name": "w", "device": {"kind": "abacus"}}, "device.kind", "'cuda'"),
        ("/v1/leases", {"worker_id": "me"}, "worker_id", "pattern"),
        ("/v1/datasets/folders", {"path": "/images"}, "name", "required"),
    ],
)
def test_each_wrong_field_is_named_by_its_path(
    shared: Api, path: str, body: Any, field: str, says: str
) -> None:
    refused = problem(shared.post(path, json=body), 422, "invalid")
    first = refused["errors"][0]
    assert first["field"] == field
    assert says in first["message"]
    assert refused["detail"].startswith(f"{field}: ")
    assert "/docs" in refused["remedy"]


def test_a_union_complains_of_the_branch_that_was_meant_only(shared: Api) -> None:
    body = {"data_set": "a", "protocol": {"name": "uniform", "il": [-1], "ll": {"low": 1}}}
    refused = problem(shared.post("/v1/jobs", json=body), 422)
    assert [error["field"] for error in refused["errors"]] == ["protocol.il.0", "protocol.ll.high"]


def test_several_wrong_fields_are_all_told(shared: Api) -> None:
    body = {"data_set": "", "priority": 1000, "budget": {"trials": 0}}
    refused = problem(shared.post("/v1/jobs", json=body), 422)
    assert [error["field"] for error in refused["errors"]] == [
        "data_set",
        "budget.trials",
        "priority",
    ]
    assert "and 2 more" in refused["detail"]


def test_what_was_sent_is_shown_while_it_is_short(shared: Api) -> None:
    long = problem(shared.post("/v1/jobs", json={"data_set": "x" * 5000}), 422)
    short = problem(shared.post("/v1/jobs", json={"data_set": ["x"]}), 422)
    assert [error["value"] for error in long["errors"]] == [None]
    assert [error["value"] for error in short["errors"]] == [["x"]]


@pytest.mark.parametrize(
    "body",
    [
        '{"data_set": "\\ud800"}',
        '{"data_set": "a", "\\ud800": 1}',
        '{"data_set": NaN}',
        '{"data_set": "a", "priority": Infinity}',
        '{"data_set": "a", "priority": 1e999}',
        '{"data_set": "a", "budget": {"seconds": -Infinity}}',
        json.dumps({"data_set": "a", "priority": 10**400}),
        json.dumps({"data_set": "a", "budget": {"seconds": 10**400}}),
    ],
)
def test_a_problem_is_json_whatever_the_request_was(shared: Api, body: str) -> None:
    refused = problem(shared.post("/v1/jobs", content=body, headers=JSON), 422, "invalid")
    assert refused["errors"]


def test_a_database_that_does_not_answer_is_told_as_such(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(jobs, "list_jobs", gone)
    unavailable = problem(shared.get("/v1/jobs"), 503, "database_unavailable")
    assert "again" in unavailable["remedy"]
    assert "SELECT" not in unavailable["detail"]


def test_what_somebody_keeps_locked_is_told_as_such(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise OperationalError("SELECT", {}, LockNotAvailable("lock timeout"))

    monkeypatch.setattr(jobs, "list_jobs", locked)
    busy = problem(shared.get("/v1/jobs"), 503, "busy")
    assert "again" in busy["remedy"]


def test_an_error_of_our_own_is_a_problem_that_tells_nothing_secret(
    shared: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(jobs, "list_jobs", broken)
    answer = httpx.get(f"{shared.base_url}/v1/jobs")  # its connection is closed afterwards
    assert "log" in problem(answer, 500, "internal")["detail"]
    assert "secret" not in answer.text
