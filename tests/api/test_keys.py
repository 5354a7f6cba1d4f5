"""Keys: who may do what, where the service can be reached from other machines."""

import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from sqlalchemy import update
from starlette.routing import Mount

from lrsearch.access.keys import create_key, list_keys, revoke_key
from lrsearch.access.principals import SCOPES
from lrsearch.api import gate
from lrsearch.api.app import create_app
from lrsearch.contract.keys import KeyRequest
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import ApiKeyRow
from lrsearch.errors import UnavailableError
from lrsearch.settings import Settings
from tests.api.conftest import UNTHROTTLED, Json, bearer, problem, secret, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api, guarding

NO_ID = "00000000-0000-7000-8000-000000000000"

OPEN = {"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"}
"""Paths that anybody may see: nothing that they tell is anybody's."""

PARAMETERS = {"sha256": "0" * 64, "number": "0"}
"""Of paths, where not every text will do; that of all others is `NO_ID`."""

Route = tuple[str, str]
"""A method and a path as it is declared."""


def routes(api: Api) -> set[Route]:
    """All routes of the app but the dashboard, which has tests of its own."""
    return {
        (method, context.path or "")
        for context in iter_route_contexts(api.app.routes)
        if not isinstance(context.original_route, Mount)
        for method in (context.methods or set()) - {"HEAD"}
    }


def scopes(api: Api) -> dict[Route, set[str]]:
    """Those that the document declares, for each route that is not open; any of them will do."""
    paths = api.app.openapi()["paths"]
    return {
        (method, path): {
            scope
            for requirement in paths[path][method.lower()].get("security", [])
            for scope in requirement["HTTPBearer"]
        }
        for method, path in routes(api)
        if path not in OPEN
    }


def ask(api: Api, route: Route, headers: dict[str, str]) -> httpx.Response:
    """The answer to a request that can do nothing, whoever sends it."""
    method, path = route
    return api.request(
        method,
        re.sub(r"{(\w+)}", lambda match: PARAMETERS.get(match[1], NO_ID), path),
        headers=headers,
    )


def test_every_route_declares_who_may_use_it(guarded: Api) -> None:
    assert {path for _, path in routes(guarded)} > OPEN
    assert [route for route, needed in scopes(guarded).items() if not needed] == []


def test_keys_are_for_administrators_leases_for_workers_and_changes_for_submitters(
    guarded: Api,
) -> None:
    for (method, path), needed in scopes(guarded).items():
        noun = path.removeprefix("/v1/").split("/")[0]
        if noun == "keys":
            assert needed == {"admin"}
        elif noun in ("leases", "blobs"):
            assert needed == {"worker"}
        elif noun in ("jobs", "datasets", "source-models"):
            assert ("submit" in needed) is (method != "GET"), (method, path)
            assert "read" not in needed or method == "GET", (method, path)


def test_without_a_key_nothing_is_shown_or_done(guarded: Api) -> None:
    for route in scopes(guarded):
        answer = ask(guarded, route, {})
        refused = problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "Authorization: Bearer" in refused["remedy"]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_may_do_what_its_scope_says_and_nothing_else(guarded: Api, scope: str) -> None:
    key = bearer(secret(guarded, scope, limits={"requests_per_second": 0.0}))
    for route, needed in scopes(guarded).items():
        answer = ask(guarded, route, key)
        if scope in needed or scope == "admin":
            assert answer.status_code not in (401, 403), f"{scope}: {route}"
        else:
            refused = problem(answer, 403, "forbidden")
            assert scope in refused["detail"]
            assert all(each in refused["detail"] for each in needed)
            assert "key with that scope" in refused["remedy"]


def test_health_needs_no_key(guarded: Api) -> None:
    assert guarded.get("/healthz").status_code == 200
    assert guarded.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "authorization",
    ["Bearer lrs_nobody", "Bearer", "Basic YTpi", "lrs_nobody", "Bearer \u00e9"],
)
def test_what_is_no_key_of_ours_is_refused(guarded: Api, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")}
    answer = guarded.get("/v1/jobs", headers=headers)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.fixture
def either(settings: Settings) -> Iterator[Api]:
    """A service that demands keys, on SQLite, then on PostgreSQL."""
    with guarding(settings.model_copy(update={"require_keys": True} | UNTHROTTLED)) as api:
        yield api


@pytest.fixture
def admin(either: Api) -> Iterator[httpx.Client]:
    key = bearer(secret(either, "admin"))
    with httpx.Client(base_url=either.base_url, headers=key) as client:
        yield client


def made(admin: httpx.Client, **request: Any) -> Json:
    """A new key, and its secret."""
    answer = admin.post("/v1/keys", json={"name": "ada", **request})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


def test_an_administrator_makes_lists_and_revokes_keys(either: Api, admin: httpx.Client) -> None:
    new = made(admin, scopes=["submit", "read"], limits={"running_jobs": 3})
    key = new["key"]
    assert (key["name"], key["owner"], key["scopes"]) == ("ada", "ada", ["read", "submit"])
    assert (key["limits"]["running_jobs"], key["limits"]["stored_bytes"]) == (3, None)
    assert new["secret"].startswith(key["prefix"])
    assert either.get("/v1/jobs", headers=bearer(new["secret"])).status_code == 200

    listed = admin.get("/v1/keys")
    assert new["secret"] not in listed.text
    assert listed.json()["items"][0] | {"last_used_at": None} == key

    revoked = admin.post(f"/v1/keys/{key['prefix']}/revoke").json()
    assert revoked["id"] == key["id"]
    refused = problem(either.get("/v1/jobs", headers=bearer(new["secret"])), 401, "unauthenticated")
    assert "revoked" in refused["detail"]
    again = admin.post(f"/v1/keys/{key['id']}/revoke").json()
    assert again["revoked_at"] == revoked["revoked_at"]
    problem(admin.post("/v1/keys/lrs_nobody/revoke"), 404, "key_unknown")


def test_only_hashes_of_secrets_are_kept(either: Api, admin: httpx.Client) -> None:
    new = made(admin)
    with either.service.database.read() as session:
        row = session.get_one(ApiKeyRow, new["key"]["id"])
        kept = [str(getattr(row, column.key)) for column in ApiKeyRow.__table__.columns]
    rest = new["secret"].removeprefix(new["key"]["prefix"])
    assert len(rest) >= 32
    assert not any(rest in value for value in kept)


def test_a_key_says_when_it_was_used_last(
    either: Api, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = made(admin)

    def last_used() -> Any:
        return admin.get("/v1/keys").json()["items"][0]["last_used_at"]

    assert last_used() is None
    either.get("/v1/jobs", headers=bearer(new["secret"]))
    first = last_used()
    assert first is not None
    either.get("/v1/jobs", headers=bearer(new["secret"]))
    assert last_used() == first  # not written down with every request
    monkeypatch.setattr(gate, "NOTE_SECONDS", 0.0)
    either.get("/v1/jobs", headers=bearer(new["secret"]))
    assert last_used() > first


def test_a_key_is_good_until_it_expires(either: Api, admin: httpx.Client) -> None:
    new = made(admin, expires_in_seconds=3600.0)
    key = bearer(new["secret"])
    assert either.get("/v1/jobs", headers=key).status_code == 200
    with either.service.database.write() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == new["key"]["id"]).values(expires_at=past)
        )
    refused = problem(either.get("/v1/jobs", headers=key), 401, "unauthenticated")
    assert "expired" in refused["detail"]
    assert "lrsearch keys create" in refused["remedy"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read", "root"]}, "scopes.1"),
        ({"owner": ""}, "owner"),
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"limits": {"running_jobs": -1}}, "limits.running_jobs"),
        ({"limits": {"stored_bytes": 2**80}}, "limits.stored_bytes"),
        ({"limits": {"jobs": 1}}, "limits.jobs"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_field(guarded: Api, request_: Json, field: str) -> None:
    headers = bearer(secret(guarded, "admin"))
    answer = guarded.post("/v1/keys", json={"name": "ada", **request_}, headers=headers)
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == field


def test_a_round_needs_a_submitters_and_a_workers_key_only(guarded: Api) -> None:
    submitter, worker = bearer(secret(guarded, "read", "submit")), bearer(secret(guarded, "worker"))
    with (
        httpx.Client(base_url=guarded.base_url, headers=submitter) as user,
        httpx.Client(base_url=guarded.base_url, headers=worker, timeout=30.0) as machine,
    ):
        data_set = uploaded(user, "animals", zip_of(silhouettes()))
        request = {
            "data_set": "animals",
            "source_model": "random",
            "protocol": {"name": "last_layer", "ll": [0.01]},
            "recipe": {"epochs": 1},
        }
        job = user.post("/v1/jobs", json=request).json()
        FakeWorker(machine).work_off({0: 0.6})
        assert machine.get(f"/v1/datasets/{data_set['id']}/content").status_code == 200
        problem(machine.get(f"/v1/jobs/{job['id']}/result"), 403, "forbidden")
        assert user.get(f"/v1/jobs/{job['id']}/result").json()["winner"]["val_top1"] == 0.6


@pytest.mark.parametrize(
    ("host", "demanded"),
    [
        ("127.0.0.1", False),
        ("127.1.2.3", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),  # noqa: S104 - nothing listens there
        ("::", True),
        ("10.0.0.7", True),
        ("gpu.example.org", True),
    ],
)
def test_keys_are_demanded_on_every_address_but_loopback(host: str, demanded: bool) -> None:
    assert Settings(host=host).keys_required is demanded
    assert Settings(host=host, require_keys=True).keys_required


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "gpu.example.org"])  # noqa: S104
def test_keys_cannot_be_switched_off_where_others_can_reach_the_service(host: str) -> None:
    with pytest.raises(ValidationError, match=f"{host}.*keys cannot be switched off"):
        Settings(host=host, require_keys=False)


def test_keys_can_be_demanded_on_loopback_too(
    sqlite_settings: Callable[..., Settings],
) -> None:
    with guarding(sqlite_settings(require_keys=True)) as api:
        problem(api.get("/v1/jobs"), 401, "unauthenticated")


def test_without_a_good_key_it_does_not_start_where_others_can_reach_it(
    settings: Settings, database: Database
) -> None:
    open_to_all = settings.model_copy(update={"host": "10.0.0.7"})
    with pytest.raises(UnavailableError, match=r"10\.0\.0\.7.*lrsearch keys create") as caught:
        asyncio.run(started(open_to_all))
    assert caught.value.code == "no_keys"

    with database.write() as session:
        create_key(session, KeyRequest(name="first"))
    asyncio.run(started(open_to_all))

    with database.write() as session:
        (key,) = list_keys(session, None, limit=9).items
        revoke_key(session, key.id)
    with pytest.raises(UnavailableError):
        asyncio.run(started(open_to_all))


async def started(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        pass
