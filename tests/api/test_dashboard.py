"""The Optuna dashboard: shown to those who may see everything, changed by nobody."""

import base64

import pytest

from lrsearch.upkeep.outbox import drain_outbox
from tests.api.conftest import Json, problem, secret
from tests.api.serving import Api


def password(key: str, user: str = "anybody") -> dict[str, str]:
    """What a browser sends once it has asked."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode()}


@pytest.mark.parametrize("path", ["/", "/dashboard/", "/static/bundle.js", "/api/studies"])
def test_it_is_shown_on_loopback(shared: Api, path: str) -> None:
    assert shared.get(path, follow_redirects=True).status_code == 200


def test_a_finished_job_stands_there_with_its_trials_and_its_note(
    shared: Api, finished: Json
) -> None:
    drain_outbox(shared.service.database, shared.service.ledger)
    studies = shared.get("/api/studies").json()["study_summaries"]
    (study,) = (s for s in studies if finished["id"] in s["study_name"])
    shown = shared.get(f"/api/studies/{study['study_id']}").json()
    assert sorted(trial["values"][0] for trial in shown["trials"]) == [0.5, 0.7, 0.9]
    assert "beats the baseline" in shown["note"]["body"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/api/studies", "/api/studies/1", "/api/trials/1/tell"])
def test_nothing_can_be_changed_there(shared: Api, method: str, path: str) -> None:
    answer = shared.request(method, path)
    refused = problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert "read-only" in refused["detail"]
    assert "/v1" in refused["detail"]


def test_deleting_a_study_deletes_nothing(shared: Api, finished: Json) -> None:
    drain_outbox(shared.service.database, shared.service.ledger)
    before = shared.get("/api/studies").json()
    for study in before["study_summaries"]:
        problem(shared.delete(f"/api/studies/{study['study_id']}"), 405)
    assert shared.get("/api/studies").json() == before


def test_with_keys_a_browser_is_asked_for_a_password(guarded: Api) -> None:
    answer = guarded.get("/")
    refused = problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert "admin" in refused["detail"]


def test_an_admin_key_is_the_password_whoever_the_user(guarded: Api) -> None:
    key = secret(guarded, "admin")
    for user in ("", "me", "ünal"):
        assert guarded.get("/dashboard/", headers=password(key, user)).status_code == 200
    problem(guarded.post("/api/studies", headers=password(key)), 405)


@pytest.mark.parametrize("scopes", [["read"], ["submit"], ["worker"], ["read", "submit", "worker"]])
def test_every_other_key_is_refused(guarded: Api, scopes: list[str]) -> None:
    problem(guarded.get("/", headers=password(secret(guarded, *scopes))), 401)


@pytest.mark.parametrize(
    "authorization",
    [b"Basic", b"Basic !", b"Basic \xe9\xe9", b"Basic /////w==", b"Basic YQ==", b"Bearer x", b""],
)
def test_what_is_no_password_is_refused(guarded: Api, authorization: bytes) -> None:
    headers = {b"Authorization": authorization}
    problem(guarded.get("/", headers=headers), 401)


def test_an_admin_key_is_no_password_for_the_rest(guarded: Api) -> None:
    problem(guarded.get("/v1/jobs", headers=password(secret(guarded, "admin"))), 401)
