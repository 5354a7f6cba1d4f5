"""Limits: what a key allows, and how it says that it allows no more."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from lrsearch.access.keys import PREFIX_CHARACTERS
from lrsearch.settings import Settings
from tests.api.conftest import Json, bearer, problem, secret, uploaded
from tests.api.samples import checkpoint, silhouettes, zip_of
from tests.api.serving import Api, guarding

ANIMALS = zip_of(silhouettes())
REQUEST: Json = {"data_set": "animals", "source_model": "random"}


@pytest.fixture
def limited(sqlite_settings: Callable[..., Settings]) -> Iterator[Api]:
    """A service that allows two unfinished jobs, and bytes for one data set and a half."""
    limits = {"max_running_jobs": 2, "max_stored_bytes": len(ANIMALS) * 3 // 2}
    with guarding(sqlite_settings(require_keys=True, **limits)) as api:
        yield api


@pytest.fixture
def client_of(limited: Api) -> Iterator[Callable[..., httpx.Client]]:
    """Makes clients with a new key, with limits of its own."""
    clients = []

    def client(owner: str = "ada", *scopes: str, **limits: Any) -> httpx.Client:
        key = secret(limited, *(scopes or ("read", "submit")), owner=owner, limits=limits)
        made = httpx.Client(base_url=limited.base_url, headers=bearer(key), timeout=30.0)
        clients.append(made)
        return made

    yield client
    for each in clients:
        each.close()


def too_many(answer: httpx.Response, code: str) -> Json:
    """The problem, with a `Retry-After` of whole seconds."""
    refused = problem(answer, 429, code)
    assert int(answer.headers["retry-after"]) >= 1
    return refused


def test_an_owner_may_have_so_many_unfinished_jobs(
    client_of: Callable[..., httpx.Client],
) -> None:
    ada, bob = client_of(), client_of("bob")
    for client in (ada, bob):
        uploaded(client, "animals", ANIMALS)
    once = {"Idempotency-Key": "once"}
    first = ada.post("/v1/jobs", json=REQUEST, headers=once).json()
    assert client_of("ada").post("/v1/jobs", json=REQUEST).status_code == 201

    refused = too_many(ada.post("/v1/jobs", json=REQUEST), "too_many_jobs")
    assert "2 unfinished jobs" in refused["detail"]
    assert "cancel" in refused["remedy"]
    assert ada.post("/v1/jobs", json=REQUEST, headers=once).json()["id"] == first["id"]
    assert bob.post("/v1/jobs", json=REQUEST).status_code == 201

    ada.post(f"/v1/jobs/{first['id']}/cancel")
    assert ada.post("/v1/jobs", json=REQUEST).status_code == 201


def test_a_key_can_have_a_limit_of_its_own_or_none(
    client_of: Callable[..., httpx.Client],
) -> None:
    one, any_number = client_of(running_jobs=1), client_of(running_jobs=0)
    uploaded(one, "animals", ANIMALS)
    assert one.post("/v1/jobs", json=REQUEST).status_code == 201
    too_many(one.post("/v1/jobs", json=REQUEST), "too_many_jobs")
    for _ in range(3):
        assert any_number.post("/v1/jobs", json=REQUEST).status_code == 201


def test_an_administrator_changes_the_limits_of_a_key_at_once(limited: Api) -> None:
    admin = bearer(secret(limited, "admin"))
    key = secret(limited, "read", owner="ada")
    own, path = bearer(key), f"/v1/keys/{key[:PREFIX_CHARACTERS]}"
    for _ in range(3):
        assert limited.get("/v1/jobs", headers=own).status_code == 200

    slow = {"limits": {"requests_per_second": 0.01, "running_jobs": 4}}
    changed = limited.patch(path, json=slow, headers=admin).json()
    assert changed["limits"] == slow["limits"] | {"stored_bytes": None}
    limited.get("/v1/jobs", headers=own)
    too_many(limited.get("/v1/jobs", headers=own), "too_many_requests")

    kept = limited.patch(path, json={"limits": {"requests_per_second": 0}}, headers=admin).json()
    assert (kept["limits"]["requests_per_second"], kept["limits"]["running_jobs"]) == (0.0, 4)
    for _ in range(3):
        assert limited.get("/v1/jobs", headers=own).status_code == 200

    reset = limited.patch(path, json={"limits": {"running_jobs": None}}, headers=admin).json()
    assert reset["limits"]["running_jobs"] is None


def test_a_change_of_limits_is_refused_with_what_is_wrong(limited: Api) -> None:
    admin, user = bearer(secret(limited, "admin")), bearer(secret(limited, "read", "submit"))
    path = f"/v1/keys/{secret(limited, 'read')[:PREFIX_CHARACTERS]}"
    change: Json = {"limits": {"running_jobs": 1}}
    problem(limited.patch(path, json=change, headers=user), 403)
    problem(limited.patch("/v1/keys/lrs_nobody", json=change, headers=admin), 404, "key_unknown")
    for limits, field in (
        ({"running_jobs": -1}, "limits.running_jobs"),
        ({"stored_bytes": 2**53 + 1}, "limits.stored_bytes"),
        ({"trials": 1}, "limits.trials"),
    ):
        refused = problem(limited.patch(path, json={"limits": limits}, headers=admin), 422)
        assert [error["field"] for error in refused["errors"]] == [field]


def in_chunks(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    """Has httpx send it chunked, without a Content-Length."""
    return (content[i : i + size] for i in range(0, len(content), size))


@pytest.mark.parametrize("send", [bytes, in_chunks], ids=["whole", "chunked"])
def test_an_owner_may_store_so_many_bytes(
    limited: Api,
    client_of: Callable[..., httpx.Client],
    send: Callable[[bytes], bytes | Iterator[bytes]],
) -> None:
    ada = client_of()
    uploaded(ada, "animals", ANIMALS)
    before = limited.stored_files()
    more = ada.post("/v1/datasets", params={"name": "more"}, content=send(ANIMALS))
    refused = too_many(more, "too_many_bytes")
    assert str(len(ANIMALS) * 3 // 2) in refused["detail"]
    assert "administrator" in refused["remedy"]
    assert limited.stored_files() == before
    problem(ada.get("/v1/datasets/more"), 404)

    small = ada.post("/v1/source-models", params={"name": "small"}, content=checkpoint())
    assert small.status_code == 202
    uploaded(client_of("bob"), "animals", ANIMALS)


def test_what_is_being_validated_counts_and_what_is_rejected_does_not(
    client_of: Callable[..., httpx.Client],
) -> None:
    ada = client_of()
    rejected = uploaded(ada, "broken", bytes(len(ANIMALS)))
    assert rejected["state"] == "rejected"
    assert uploaded(ada, "animals", ANIMALS)["state"] == "ready"


def test_requests_that_come_too_fast_are_refused_until_there_is_room(
    client_of: Callable[..., httpx.Client],
) -> None:
    slow, other = client_of(requests_per_second=0.01), client_of()
    assert slow.get("/v1/jobs").status_code == 200
    answer = slow.get("/v1/jobs")
    refused = too_many(answer, "too_many_requests")
    assert "0.01 requests per second" in refused["detail"]
    assert "Retry-After" in refused["remedy"]
    assert 0 < int(answer.headers["retry-after"]) <= 100
    assert other.get("/v1/jobs").status_code == 200  # the owner's other key


def test_the_services_rate_is_not_for_a_fleet_of_workers(
    sqlite_settings: Callable[..., Settings],
) -> None:
    settings = sqlite_settings(require_keys=True, max_requests_per_second=0.01)
    with guarding(settings) as api:
        user, fleet = bearer(secret(api, "read")), bearer(secret(api, "worker"))
        statuses = [api.get("/v1/jobs", headers=user).status_code for _ in range(3)]
        assert statuses == [200, 429, 429]
        for _ in range(3):
            problem(api.post("/v1/leases", json={}, headers=fleet), 422)


def test_without_keys_there_are_no_limits(sqlite_settings: Callable[..., Settings]) -> None:
    limits = {"max_running_jobs": 1, "max_stored_bytes": 1, "max_requests_per_second": 0.01}
    with guarding(sqlite_settings(**limits)) as api:
        uploaded(api, "animals", ANIMALS)
        for _ in range(3):
            assert api.post("/v1/jobs", json=REQUEST).status_code == 201
