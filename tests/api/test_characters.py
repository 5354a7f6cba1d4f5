"""Characters that a database may not keep: no request with them is the service's fault."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lrsearch.settings import Settings
from tests.api.conftest import problem, uploaded
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api, serving


@pytest.fixture
def either(settings: Settings) -> Iterator[Api]:
    """A service on SQLite, then on PostgreSQL."""
    with serving(settings) as api:
        yield api


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_postgresql_keeps_no_nul_character_and_the_problem_says_so(either: Api) -> None:
    device = {"kind": "cpu", "name": "a\0b"}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/v1/jobs/%00", {}),
        ("POST", "/v1/jobs/%00/cancel", {}),
        ("GET", "/v1/jobs/%00/events", {}),
        ("GET", "/v1/datasets/a%00b", {}),
        ("GET", "/v1/source-models/a%00b/weights", {}),
        ("GET", "/v1/jobs", {"params": {"data_set": "a\0b"}}),
        ("POST", "/v1/jobs", {"json": {"data_set": "a\0b"}}),
        ("POST", "/v1/workers", {"json": {"name": "w", "device": device}}),
    ]
    for method, path, content in requests:
        answer: httpx.Response = either.request(method, path, **content)
        assert "NUL" in problem(answer, 422, "invalid")["remedy"]
    assert either.get("/readyz").status_code == 200


def test_every_other_character_is_kept(either: Api) -> None:
    device = {"kind": "cpu", "name": "Ünïcode \u202e 🦌 \t"}
    worker = either.post("/v1/workers", json={"name": "w", "device": device}).json()
    (listed,) = either.get("/v1/workers").json()["items"]
    assert (listed["id"], listed["device"]["name"]) == (worker["id"], device["name"])


def test_a_data_set_is_rejected_whatever_characters_its_problems_would_name(either: Api) -> None:
    archive = zip_of(silhouettes() | {"bear/1?2.png": b"x"}).replace(b"1?2.png", b"1\x002.png")
    rejected = uploaded(either, "odd", archive)
    assert (rejected["state"], rejected["problems"][0]["code"]) == (
        "rejected",
        "archive_unsafe_path",
    )
    assert rejected["problems"][0]["paths"] == ["bear/1\\x002.png"]
