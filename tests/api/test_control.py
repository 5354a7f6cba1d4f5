"""Control of jobs over HTTP."""

from collections.abc import Callable

import httpx
import pytest
from httpx_sse import connect_sse

from lrsearch.api.routes import jobs as routes
from tests.api.conftest import Json, problem
from tests.api.fake_worker import FakeWorker
from tests.api.serving import Api

REQUEST = {
    "data_set": "animals",
    "source_model": "random",
    "strategy": "exhaustive",
    "recipe": {"epochs": 2},
    "confirm": False,
}

Submit = Callable[[Json], Json]


def patch(api: Api, job: Json, **change: object) -> httpx.Response:
    return api.patch(f"/v1/jobs/{job['id']}", json=change)


def test_a_job_is_paused_and_goes_on(api: Api, submit: Submit) -> None:
    job = submit(REQUEST)
    worker = FakeWorker(api)
    lease = worker.claim()
    answer = patch(api, job, paused=True)
    assert answer.status_code == 200
    assert (answer.json()["paused"], answer.json()["reason_code"]) == (True, "paused")
    assert set(worker.beat(lease).directives.values()) == {"pause"}
    assert worker.release(lease).status_code == 204
    assert worker.ask().status_code == 204
    assert patch(api, job, paused=False).json()["paused"] is False
    assert worker.claim().task == lease.task


def test_priority_and_budget_are_changed(api: Api, submit: Submit) -> None:
    job = submit({**REQUEST, "budget": {"trials": 5}})
    changed = patch(api, job, priority=9, budget={"trials": 2}).json()
    assert changed["request"]["priority"] == 9
    assert changed["request"]["budget"]["trials"] == 2
    assert changed["trials_planned"] == 3
    assert api.get(f"/v1/jobs/{job['id']}").json()["request"] == changed["request"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "body"),
        ({"priority": 101}, "priority"),
        ({"paused": "perhaps"}, "paused"),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"budget": {"epochs": 1}}, "budget"),
        ({"name": "another"}, "name"),
    ],
)
def test_what_cannot_be_changed_so_is_refused(
    api: Api, submit: Submit, change: Json, field: str
) -> None:
    job = submit(REQUEST)
    refused = problem(patch(api, job, **change), 422, "invalid")
    assert [error["field"] for error in refused["errors"]] == [field]


def test_a_deleted_job_is_not_found_and_its_files_go(api: Api, submit: Submit) -> None:
    job = submit({**REQUEST, "protocol": {"name": "last_layer", "ll": [0.02]}})
    FakeWorker(api).work_off({0: 0.5, 1: 0.9})
    result = api.get(f"/v1/jobs/{job['id']}/result").json()
    assert result["weights_sha256"] in api.stored_files()
    answer = api.delete(f"/v1/jobs/{job['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in ("", "/trials", "/trials/0", "/result", "/weights", "/events"):
        problem(api.get(f"/v1/jobs/{job['id']}{path}"), 404, "not_found")
    problem(api.delete(f"/v1/jobs/{job['id']}"), 404, "not_found")
    assert job["id"] not in api.get("/v1/jobs", params={"limit": 200}).text


def test_a_stream_of_a_job_that_is_deleted_ends(
    api: Api, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "EVENT_POLL_SECONDS", 0.05)
    job = submit(REQUEST)
    FakeWorker(api).claim()
    with connect_sse(api, "GET", f"/v1/jobs/{job['id']}/events") as stream:
        events = stream.iter_sse()
        assert next(events).event == "trial_started"
        assert httpx.delete(f"http://127.0.0.1:{api.port}/v1/jobs/{job['id']}").status_code == 204
        # Whether the end is still told depends on who is faster; the stream ends either way.
        assert {event.event for event in events} <= {"trial_finished", "job_finished"}
