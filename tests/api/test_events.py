"""The stream of a job's events."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from httpx_sse import ServerSentEvent, connect_sse

from lrsearch.api.routes import jobs as routes
from lrsearch.contract.events import Event
from lrsearch.contract.leases import ProbeReport
from tests.api.conftest import Json, problem
from tests.api.fake_worker import FakeWorker
from tests.api.serving import Api
from tests.probes import a_probe

REQUEST = {
    "data_set": "animals",
    "source_model": "random",
    "strategy": "exhaustive",
    "protocol": {"name": "uniform", "il": [0.0, 0.001], "ll": [0.01]},
    "recipe": {"epochs": 2},
}

NEVER_POLLS = 600.0
"""Seconds between polls: whatever a stream shows then, the bell has woken it."""


@pytest.fixture
def job(submit: Callable[[Json], Json]) -> Json:
    """A submitted job of two trials."""
    return submit(REQUEST)


@contextmanager
def stream(
    api: Api, job: Json, last_event_id: int | None = None
) -> Iterator[Iterator[ServerSentEvent]]:
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    with connect_sse(api, "GET", f"/v1/jobs/{job['id']}/events", headers=headers) as source:
        yield source.iter_sse()


def told(api: Api, job: Json, last_event_id: int | None = None) -> list[Event]:
    """Reads until the service ends the stream."""
    with stream(api, job, last_event_id) as events:
        return [checked(event) for event in events]


def checked(told: ServerSentEvent) -> Event:
    """What an event holds, which its name and id say too."""
    event = Event.model_validate_json(told.data)
    assert (told.id, told.event) == (str(event.id), event.body.type)
    return event


def test_a_finished_job_tells_everything_in_order_and_ends(shared: Api, finished: Json) -> None:
    events = told(shared, finished)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert {event.job_id for event in events} == {finished["id"]}
    a_trial = ["trial_started", "epoch_finished", "epoch_finished", "trial_finished"]
    of_trials = {
        number: [e.body.type for e in events if getattr(e.body, "trial", None) == number]
        for number in range(3)
    }
    assert of_trials == dict.fromkeys(range(3), a_trial)
    end = {"type": "job_finished", "state": "complete", "reason": None}
    assert [e.body.model_dump() for e in events if e.body.type == "job_finished"] == [end]
    assert events[-1].body.type == "job_finished"


@pytest.mark.parametrize("seen", [0, 1, 5])
def test_a_stream_resumes_behind_the_last_event_that_was_seen(
    shared: Api, finished: Json, seen: int
) -> None:
    assert told(shared, finished, last_event_id=seen) == told(shared, finished)[seen:]


def test_a_stream_that_resumes_behind_the_end_ends_at_once(shared: Api, finished: Json) -> None:
    last = told(shared, finished)[-1].id
    assert told(shared, finished, last_event_id=last) == []


def test_an_open_stream_tells_what_happens_as_it_happens(
    api: Api, job: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "EVENT_POLL_SECONDS", NEVER_POLLS)
    with stream(api, job) as events:
        worker = FakeWorker(api)
        lease = worker.claim()
        assert next(events).event == "trial_started"
        look, baseline = lease.work
        worker.report(lease, look, ProbeReport(probe=a_probe()))
        assert next(events).event == "probe_finished"
        report = worker.finetune(lease, baseline, 0.5)
        assert [next(events).event, next(events).event] == ["epoch_finished"] * 2
        worker.report(lease, baseline, report)
        assert next(events).event == "trial_finished"
        api.post(f"/v1/jobs/{job['id']}/cancel")
        assert [event.event for event in events] == ["job_finished"]


def test_several_streams_of_a_job_tell_the_same(api: Api, job: Json) -> None:
    with ThreadPoolExecutor() as pool:
        streams = [pool.submit(told, api, job) for _ in range(3)]
        FakeWorker(api).work_off({})
        heard = [stream.result() for stream in streams]
    assert heard == [told(api, job)] * 3


def test_there_is_no_stream_of_a_job_that_does_not_exist(shared: Api) -> None:
    answer = shared.get("/v1/jobs/00000000-0000-7000-8000-000000000000/events")
    assert "GET /v1/jobs" in problem(answer, 404, "not_found")["remedy"]


@pytest.mark.parametrize("header", ["yesterday", "-1", "99999999999999999999"])
def test_a_last_event_id_that_is_none_is_refused_by_name(shared: Api, header: str) -> None:
    answer: httpx.Response = shared.get(
        "/v1/jobs/00000000-0000-7000-8000-000000000000/events", headers={"Last-Event-ID": header}
    )
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == "last-event-id"
