"""Ownership: everybody sees their own, what is shared, and nothing of others."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lrsearch.settings import Settings
from tests.api.conftest import UNTHROTTLED, Json, bearer, problem, secret, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import checkpoint, silhouettes, zip_of
from tests.api.serving import Api, guarding

ANIMALS = zip_of(silhouettes())
OTHERS = zip_of(silhouettes(labels=2))

REQUEST: Json = {
    "data_set": "animals",
    "source_model": "random",
    "protocol": {"name": "last_layer", "ll": [0.01]},
    "recipe": {"epochs": 1},
}


@pytest.fixture
def either(settings: Settings) -> Iterator[Api]:
    """A service that demands keys, on SQLite, then on PostgreSQL."""
    with guarding(settings.model_copy(update={"require_keys": True} | UNTHROTTLED)) as api:
        yield api


class People:
    """Clients with keys of their own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._clients: list[httpx.Client] = []

    def __call__(self, owner: str, *scopes: str) -> httpx.Client:
        """A client with a new key of the owner."""
        key = secret(self._api, *(scopes or ("read", "submit")), owner=owner)
        client = httpx.Client(base_url=self._api.base_url, headers=bearer(key), timeout=30.0)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def as_(either: Api) -> Iterator[People]:
    people = People(either)
    yield people
    people.close()


def submitted(client: httpx.Client, **changes: Any) -> Json:
    answer = client.post("/v1/jobs", json=REQUEST | changes)
    assert answer.status_code == 201, answer.text
    job: Json = answer.json()
    return job


def names(client: httpx.Client, path: str) -> list[str]:
    return sorted(item["name"] for item in client.get(path).json()["items"])


SHIPPED = ["general", "letters", "random"]


def test_what_is_anothers_does_not_exist(as_: People) -> None:
    ada, bob = as_("ada"), as_("bob")
    uploaded(ada, "animals", ANIMALS)
    ada.post("/v1/source-models", params={"name": "mine"}, content=checkpoint())
    job = submitted(ada)["id"]
    FakeWorker(as_("fleet", "worker")).work_off({0: 0.6})
    assert ada.get(f"/v1/jobs/{job}/result").status_code == 200
    assert ada.get(f"/v1/jobs/{job}/events").text.endswith("}\r\n\r\n")

    data_set = ada.get("/v1/datasets/animals").json()["id"]
    source_model = ada.get("/v1/source-models/mine").json()["id"]
    for path, code in (
        ("/v1/datasets/animals", "data_set_unknown"),
        (f"/v1/datasets/{data_set}", "data_set_unknown"),
        (f"/v1/datasets/{data_set}/content", "data_set_unknown"),
        ("/v1/source-models/mine", "source_model_unknown"),
        (f"/v1/source-models/{source_model}", "source_model_unknown"),
        (f"/v1/source-models/{source_model}/weights", "source_model_unknown"),
        *(
            (f"/v1/jobs/{job}{part}", "not_found")
            for part in ("", "/trials", "/trials/0", "/events", "/result", "/weights")
        ),
    ):
        assert ada.get(path).status_code == 200, path
        refused = problem(bob.get(path), 404, code)
        assert "mine" not in str(refused["remedy"])
    problem(bob.post(f"/v1/jobs/{job}/cancel"), 404, "not_found")
    problem(bob.post("/v1/jobs", json=REQUEST), 404, "data_set_unknown")
    problem(bob.post("/v1/recommendations", json={"job": job}), 404, "not_found")
    for query in ({"data_set": data_set}, {"source_model": source_model}):
        problem(bob.get("/v1/jobs", params=query), 404)

    assert names(ada, "/v1/datasets") == ["animals"]
    assert names(ada, "/v1/source-models") == sorted([*SHIPPED, "mine"])
    assert [item["id"] for item in ada.get("/v1/jobs").json()["items"]] == [job]
    for path in ("/v1/datasets", "/v1/jobs"):
        assert bob.get(path).json()["items"] == []
    assert names(bob, "/v1/source-models") == SHIPPED


def test_all_keys_of_an_owner_see_the_same(as_: People) -> None:
    uploaded(as_("ada"), "animals", ANIMALS)
    job = submitted(as_("ada", "submit"))
    assert as_("ada", "read").get(f"/v1/jobs/{job['id']}").json()["id"] == job["id"]
    assert as_("ada").post(f"/v1/jobs/{job['id']}/cancel").status_code == 200


def test_an_administrator_sees_and_cancels_everybodys(as_: People) -> None:
    ada, admin = as_("ada"), as_("root", "admin")
    data_set = uploaded(ada, "animals", ANIMALS)
    job = submitted(ada)
    assert admin.get("/v1/datasets/animals").json()["id"] == data_set["id"]
    assert [item["id"] for item in admin.get("/v1/jobs").json()["items"]] == [job["id"]]
    assert admin.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"


def test_a_name_is_each_owners_own_matter(as_: People) -> None:
    ada, bob, admin = as_("ada"), as_("bob"), as_("root", "admin")
    first, second = uploaded(ada, "animals", ANIMALS), uploaded(bob, "animals", OTHERS)
    assert ada.get("/v1/datasets/animals").json()["id"] == first["id"]
    assert bob.get("/v1/datasets/animals").json()["id"] == second["id"]
    assert admin.get("/v1/datasets/animals").json()["id"] == second["id"]  # the newest
    assert submitted(ada)["data_set_id"] == first["id"]
    assert submitted(bob)["data_set_id"] == second["id"]
    again = bob.post("/v1/datasets", params={"name": "animals"}, content=OTHERS)
    problem(again, 409, "name_taken")
    for client in (ada, bob):
        params = {"name": "mine"}
        sent = client.post("/v1/source-models", params=params, content=checkpoint())
        assert sent.status_code == 202
    own = uploaded(admin, "animals", ANIMALS)
    assert admin.get("/v1/datasets/animals").json()["id"] == own["id"]


def test_what_is_shared_is_for_everybody_and_only_administrators_share(as_: People) -> None:
    ada, admin = as_("ada"), as_("root", "admin")
    shared = {"name": "common", "shared": "true"}
    for path, content in (("/v1/datasets", ANIMALS), ("/v1/source-models", checkpoint())):
        refused = problem(ada.post(path, params=shared, content=content), 403, "forbidden")
        assert "admin" in refused["detail"]
        assert admin.post(path, params=shared, content=content).status_code == 202
        assert ada.get(f"{path}/common").status_code == 200
        taken = ada.post(path, params={"name": "common"}, content=content)
        problem(taken, 409, "name_taken")  # it would hide the shared one
    folder = {"name": "folder", "path": "x", "shared": True}
    problem(ada.post("/v1/datasets/folders", json=folder), 403, "forbidden")


def test_the_same_idempotency_key_of_two_owners_makes_two_jobs(as_: People) -> None:
    once = {"Idempotency-Key": "once"}
    ids = []
    for client in (as_("ada"), as_("bob")):
        uploaded(client, "animals", ANIMALS)
        answers = [client.post("/v1/jobs", json=REQUEST, headers=once) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 200]
        ids.append(answers[0].json()["id"])
    assert ids[0] != ids[1]


def test_a_worker_fetches_what_it_works_on_whoever_owns_it(as_: People) -> None:
    ada, worker = as_("ada"), as_("fleet", "worker")
    data_set = uploaded(ada, "animals", ANIMALS)
    sent = ada.post("/v1/source-models", params={"name": "mine"}, content=checkpoint()).json()
    assert worker.get(f"/v1/datasets/{data_set['id']}/content").status_code == 200
    assert worker.get(f"/v1/source-models/{sent['id']}/weights").content == checkpoint()


def test_a_stream_of_events_ends_when_the_key_is_revoked(as_: People, either: Api) -> None:
    uploaded(as_("ada"), "animals", ANIMALS)
    job = submitted(as_("ada"))
    admin = as_("root", "admin")
    key = secret(either, "read", owner="ada")
    url = f"/v1/jobs/{job['id']}/events"
    FakeWorker(as_("fleet", "worker")).claim()
    with either.stream("GET", url, headers=bearer(key)) as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("event: trial_started"))
        admin.post(f"/v1/keys/{key[:12]}/revoke")
        assert not any(line.startswith("event:") for line in lines)  # and it ends
