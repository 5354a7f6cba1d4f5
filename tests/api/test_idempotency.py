"""Idempotency keys: submitting again makes no second job."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lrsearch.settings import Settings
from tests.api.conftest import Json, problem, uploaded
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api, serving

REQUEST: Json = {"data_set": "animals", "source_model": "random", "recipe": {"epochs": 3}}


@pytest.fixture
def either(settings: Settings) -> Iterator[Api]:
    """A service on SQLite, then on PostgreSQL, with a data set."""
    with serving(settings) as api:
        uploaded(api, "animals", zip_of(silhouettes()))
        yield api


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


def test_the_same_key_and_request_give_the_job_made_before(shared: Api) -> None:
    first = shared.post("/v1/jobs", json=REQUEST, headers=key("same"))
    again = shared.post("/v1/jobs", json=REQUEST, headers=key("same"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]


def test_it_is_the_request_that_counts_not_how_it_is_written(shared: Api) -> None:
    first = shared.post("/v1/jobs", json=REQUEST, headers=key("written"))
    rewritten = {"recipe": {"epochs": 3.0, "seed": 0}, **REQUEST, "budget": {}}
    again = shared.post("/v1/jobs", json=rewritten, headers=key("written"))
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


def test_the_same_key_with_another_request_is_refused(shared: Api) -> None:
    first = shared.post("/v1/jobs", json=REQUEST, headers=key("other")).json()
    changed = REQUEST | {"recipe": {"epochs": 4}}
    answer = shared.post("/v1/jobs", json=changed, headers=key("other"))
    refused = problem(answer, 409, "idempotency_conflict")
    assert "'other'" in refused["detail"]
    assert first["id"] in refused["detail"]
    assert "choose a new key" in refused["remedy"]


def test_without_a_key_every_request_makes_a_job(shared: Api) -> None:
    first, second = (shared.post("/v1/jobs", json=REQUEST).json() for _ in range(2))
    assert first["id"] != second["id"]


def test_a_key_that_was_refused_can_be_used_again(shared: Api) -> None:
    problem(shared.post("/v1/jobs", json={"data_set": "no"}, headers=key("retry")), 404)
    assert shared.post("/v1/jobs", json=REQUEST, headers=key("retry")).status_code == 201


@pytest.mark.parametrize("text", ["", "x" * 201])
def test_a_key_of_no_or_too_many_characters_is_refused(shared: Api, text: str) -> None:
    answer = shared.post("/v1/jobs", json=REQUEST, headers=key(text))
    assert problem(answer, 422)["errors"][0]["field"] == "idempotency-key"


def test_uploads_of_one_name_at_the_same_moment_make_one_data_set(either: Api) -> None:
    archive = zip_of(silhouettes(labels=2, images=3))

    def upload(_: int) -> httpx.Response:
        return either.post("/v1/datasets", params={"name": "moment"}, content=archive)

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(upload, range(4)), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [202, 409, 409, 409]
    assert all(problem(answer, 409)["remedy"] for answer in answers[1:])


def test_requests_at_the_same_moment_make_one_job(either: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: either.post("/v1/jobs", json=REQUEST, headers=key("moment")), range(8)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(either.get("/v1/jobs").json()["items"]) == 1
