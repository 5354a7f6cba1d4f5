"""Keys: who may do what, where the service can be reached from other machines."""

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from pydantic import ValidationError

from lrsearch import keys
from lrsearch.settings import Settings
from tests.api.conftest import bearer, problem, secret, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api, serving

NO_ID = "00000000-0000-7000-8000-000000000000"
NO_BLOB = "0" * 64

READ = [
    "GET /v1/datasets",
    "GET /v1/datasets/animals",
    "GET /v1/source-models",
    "GET /v1/source-models/random",
    "GET /v1/jobs",
    f"GET /v1/jobs/{NO_ID}",
    f"GET /v1/jobs/{NO_ID}/trials",
    f"GET /v1/jobs/{NO_ID}/trials/0",
    f"GET /v1/jobs/{NO_ID}/events",
    f"GET /v1/jobs/{NO_ID}/result",
    f"GET /v1/jobs/{NO_ID}/weights",
    "GET /v1/workers",
]
READ_OR_WORKER = [
    "GET /v1/datasets/animals/content",
    "GET /v1/source-models/random/weights",
]
SUBMIT = [
    "POST /v1/datasets?name=x",
    "POST /v1/datasets/folders",
    "POST /v1/source-models?name=x",
    "POST /v1/jobs",
    f"POST /v1/jobs/{NO_ID}/cancel",
]
WORKER = [
    "POST /v1/workers",
    "POST /v1/leases",
    f"POST /v1/leases/{NO_ID}/heartbeat",
    f"PUT /v1/leases/{NO_ID}/work/{NO_ID}/weights",
    f"POST /v1/leases/{NO_ID}/work/{NO_ID}/report",
    f"POST /v1/leases/{NO_ID}/release",
    f"GET /v1/blobs/{NO_BLOB}",
]
EVERYTHING = READ + READ_OR_WORKER + SUBMIT + WORKER

NEEDED = {
    **dict.fromkeys(READ, ("read",)),
    **dict.fromkeys(READ_OR_WORKER, ("read", "worker")),
    **dict.fromkeys(SUBMIT, ("submit",)),
    **dict.fromkeys(WORKER, ("worker",)),
}


def ask(api: Api, request: str, headers: dict[str, str]) -> httpx.Response:
    method, _, path = request.partition(" ")
    return api.request(method, path, headers=headers)


@pytest.mark.parametrize("request_line", EVERYTHING)
def test_without_a_key_nothing_is_shown_or_done(guarded: Api, request_line: str) -> None:
    answer = ask(guarded, request_line, {})
    refused = problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in refused["remedy"]


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


def test_an_expired_key_is_refused(guarded: Api) -> None:
    expired = secret(guarded, "admin", expires_in=timedelta(seconds=-1))
    refused = problem(guarded.get("/v1/jobs", headers=bearer(expired)), 401, "unauthenticated")
    assert "expired" in refused["detail"]
    assert "lrsearch keys create" in refused["remedy"]
    fresh = secret(guarded, "admin", expires_in=timedelta(days=1))
    assert guarded.get("/v1/jobs", headers=bearer(fresh)).status_code == 200


def test_a_revoked_key_is_refused_from_then_on(guarded: Api) -> None:
    key = secret(guarded, "read")
    assert guarded.get("/v1/jobs", headers=bearer(key)).status_code == 200
    with guarded.service.database.write() as session:
        keys.revoke_key(session, keys.list_keys(session)[0].id)
    refused = problem(guarded.get("/v1/jobs", headers=bearer(key)), 401, "unauthenticated")
    assert "revoked" in refused["detail"]


@pytest.mark.parametrize("scope", keys.SCOPES)
def test_a_key_may_do_what_its_scope_says_and_nothing_else(guarded: Api, scope: str) -> None:
    key = bearer(secret(guarded, scope))
    for request_line, needed in NEEDED.items():
        answer = ask(guarded, request_line, key)
        if scope in needed or scope == "admin":
            assert answer.status_code not in (401, 403), f"{scope}: {request_line}"
        else:
            refused = problem(answer, 403, "forbidden")
            assert scope in refused["detail"]
            assert " or ".join(needed) in refused["detail"]
            assert "key with that scope" in refused["remedy"]


def test_a_round_needs_a_submitters_and_a_workers_key_only(guarded: Api) -> None:
    submitter, worker = bearer(secret(guarded, "read", "submit")), bearer(secret(guarded, "worker"))
    with (
        httpx.Client(base_url=guarded.base_url, headers=submitter) as user,
        httpx.Client(base_url=guarded.base_url, headers=worker, timeout=30.0) as machine,
    ):
        uploaded(user, "animals", zip_of(silhouettes()))
        request = {
            "data_set": "animals",
            "source_model": "random",
            "protocol": {"name": "last_layer", "ll": [0.01]},
            "recipe": {"epochs": 1},
        }
        job = user.post("/v1/jobs", json=request).json()
        FakeWorker(machine).work_off({0: 0.6})
        assert machine.get("/v1/datasets/animals/content").status_code == 200
        problem(machine.get(f"/v1/jobs/{job['id']}/result"), 403, "forbidden")
        assert user.get(f"/v1/jobs/{job['id']}/result").json()["winner"]["val_top1"] == 0.6


def test_the_same_idempotency_key_of_two_keys_makes_two_jobs(guarded: Api) -> None:
    first, second = (bearer(secret(guarded, "read", "submit")) for _ in range(2))
    with httpx.Client(base_url=guarded.base_url, headers=first) as user:
        uploaded(user, "mine", zip_of(silhouettes(labels=2, images=5)))
    request = {"data_set": "mine", "source_model": "random"}
    once = {"Idempotency-Key": "once"}
    answers = [
        guarded.post("/v1/jobs", json=request, headers=key | once) for key in (first, second)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


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
    with serving(sqlite_settings(require_keys=True)) as api:
        problem(api.get("/v1/jobs"), 401, "unauthenticated")
