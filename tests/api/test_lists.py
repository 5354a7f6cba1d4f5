"""Lists: pages that follow a cursor, and filters."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.conftest import Json, problem, uploaded
from tests.api.samples import checkpoint, silhouettes, zip_of
from tests.api.serving import Api

ANIMALS = zip_of(silhouettes(labels=2, images=3))


@pytest.fixture(scope="module")
def api(shared: Api) -> Api:
    """The shared service, with three more data sets, source models, jobs and workers."""
    for name in ("one", "two", "three"):
        uploaded(shared, name, ANIMALS)
        shared.post("/v1/source-models", params={"name": name}, content=checkpoint())
        job = {"data_set": name, "source_model": "random", "name": name}
        answer = shared.post("/v1/jobs", json=job)
        assert answer.status_code == 201, answer.text
        device = {"kind": "cpu", "name": "none"}
        shared.post("/v1/workers", json={"name": name, "device": device})
    return shared


def pages(api: Api, path: str, limit: int, **params: Any) -> Iterator[list[Json]]:
    """The items of each page, as far as the cursors lead."""
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(path, params={"limit": limit, **cursor, **params})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page["items"]
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize("path", ["datasets", "source-models", "jobs", "workers"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_together_are_the_whole_list_newest_first(api: Api, path: str, limit: int) -> None:
    (everything,) = pages(api, f"/v1/{path}", limit=200)
    in_pages = list(pages(api, f"/v1/{path}", limit=limit))
    assert [len(page) for page in in_pages[:-1]] == [limit] * (len(in_pages) - 1)
    assert [item["id"] for page in in_pages for item in page] == [i["id"] for i in everything]
    assert [item["name"] for item in everything[:3]] == ["three", "two", "one"]


def test_what_comes_in_meanwhile_does_not_shift_the_pages(api: Api) -> None:
    first, *_ = pages(api, "/v1/datasets", limit=2)
    cursor = api.get("/v1/datasets", params={"limit": 2}).json()["next_cursor"]
    uploaded(api, "meanwhile", ANIMALS)
    second = api.get("/v1/datasets", params={"limit": 2, "cursor": cursor}).json()["items"]
    names = [item["name"] for item in (*first, *second)]
    assert names[:3] == ["three", "two", "one"]
    assert "meanwhile" not in names


def test_trials_come_by_number(api: Api, finished: Json) -> None:
    in_pages = list(pages(api, f"/v1/jobs/{finished['id']}/trials", limit=2))
    assert [[trial["number"] for trial in page] for page in in_pages] == [[0, 1], [2]]
    trial = api.get(f"/v1/jobs/{finished['id']}/trials/1").json()
    assert trial == in_pages[0][1]


def test_jobs_are_filtered_by_what_they_use_and_by_how_they_stand(api: Api, finished: Json) -> None:
    def names(**filters: str) -> list[str | None]:
        return [job["name"] for page in pages(api, "/v1/jobs", 2, **filters) for job in page]

    two = api.get("/v1/datasets/two").json()
    assert names(data_set="two") == names(data_set=two["id"]) == ["two"]
    assert names(name="one") == ["one"]
    assert names(state="complete") == ["finished"]
    assert names(state="complete", data_set="two") == []
    assert names(state="waiting", source_model="random")[:3] == ["three", "two", "one"]
    assert names(source_model="one") == []


@pytest.mark.parametrize(
    ("query", "status", "names"),
    [
        ({"limit": 0}, 422, "limit"),
        ({"limit": 201}, 422, "limit"),
        ({"limit": "all"}, 422, "limit"),
        ({"cursor": "begin"}, 422, "cursor"),
        ({"state": "done"}, 422, "state"),
        ({"name": "no spaces"}, 422, "name"),
        ({"data_set": "nowhere"}, 404, "data_set"),
        ({"source_model": "nowhere"}, 404, "source_model"),
    ],
)
def test_a_query_that_cannot_be_right_is_refused_by_name(
    shared: Api, query: dict[str, str], status: int, names: str
) -> None:
    refused = problem(shared.get("/v1/jobs", params=query), status)
    assert refused["detail"].startswith(f"{names}: ")
    assert refused["remedy"]


@pytest.mark.parametrize("cursor", ["-1", "x", "9" * 30])
def test_a_cursor_that_is_no_trials_is_refused(shared: Api, finished: Json, cursor: str) -> None:
    answer = shared.get(f"/v1/jobs/{finished['id']}/trials", params={"cursor": cursor})
    assert problem(answer, 422)["errors"][0]["field"] == "cursor"


def test_there_is_no_trial_beyond_the_last(shared: Api, finished: Json) -> None:
    path = f"/v1/jobs/{finished['id']}/trials"
    assert "no trial 3" in problem(shared.get(f"{path}/3"), 404)["detail"]
    problem(shared.get(f"{path}/99999999999999999999"), 422)


def test_an_id_wins_over_a_name_that_looks_like_it(api: Api) -> None:
    one = api.get("/v1/datasets/one").json()
    uploaded(api, one["id"], ANIMALS)
    assert api.get(f"/v1/datasets/{one['id']}").json()["name"] == "one"
