"""Events over connections that break."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lrsearch import Client, ProblemError
from lrsearch.client import ServiceUnreachableError
from lrsearch.contract.events import Event, EventBody, JobFinished, TrialStarted
from tests.report.outcomes import JOB_ID, STARTED, a_job

EVENTS = 7
"""Of the made-up job; the last one ends it."""


class DroppingServer(ThreadingHTTPServer):
    """Drops every connection after two events; counts them, and whence each was to resume."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.resumed_after: list[int] = []
        self.unavailable = 0
        self.finished = True


class _Handler(BaseHTTPRequestHandler):
    server: DroppingServer

    def do_GET(self) -> None:
        if self.server.unavailable > 0:
            self.server.unavailable -= 1
            self.send_error(503)
        elif self.path.endswith("/events"):
            self._send_events()
        else:
            state = "complete" if self.server.finished else "running"
            self._send("application/json", a_job(state=state).model_dump_json().encode())

    def _send_events(self) -> None:
        after = int(self.headers.get("Last-Event-ID", 0))
        self.server.resumed_after.append(after)
        sent = b": ping\n\n"
        for event in [an_event(number) for number in range(after + 1, EVENTS + 1)][:2]:
            sent += f"id: {event.id}\nevent: {event.body.type}\n".encode()
            sent += f"data: {event.model_dump_json()}\n\n".encode()
        if after + 2 < EVENTS:  # the connection ends in the midst of an announced content
            sent += b"id: 99\ndata: {"
            self._send("text/event-stream", sent, announced=len(sent) + 100)
        else:
            self._send("text/event-stream", sent)

    def _send(self, kind: str, content: bytes, announced: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(announced or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def an_event(number: int) -> Event:
    body: EventBody = TrialStarted(trial=number, attempt=1, worker="worker-1")
    if number == EVENTS:
        body = JobFinished(state="complete", reason=None)
    return Event(id=number, job_id=JOB_ID, at=STARTED, body=body)


@pytest.fixture
def server() -> Iterator[DroppingServer]:
    with DroppingServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: DroppingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("lrsearch.client.stream._LONGEST_PAUSE_SECONDS", 0.01)
    with Client(f"http://127.0.0.1:{server.server_port}", attempts=1) as client:
        yield client


def test_a_dropped_stream_goes_on_where_it_stopped(server: DroppingServer, client: Client) -> None:
    events = list(client.events(JOB_ID))

    assert events == [an_event(number) for number in range(1, EVENTS + 1)]
    assert server.resumed_after == [0, 2, 4, 6]


def test_a_stream_begins_behind_the_last_event_known(
    server: DroppingServer, client: Client
) -> None:
    assert [event.id for event in client.events(JOB_ID, after=5)] == [6, 7]
    assert server.resumed_after == [5]


def test_a_service_that_is_away_for_a_moment_is_waited_for(
    server: DroppingServer, client: Client
) -> None:
    server.unavailable = 3

    assert len(list(client.events(JOB_ID))) == EVENTS


def test_a_finished_job_whose_events_are_all_known_has_no_more(
    server: DroppingServer, client: Client
) -> None:
    assert list(client.events(JOB_ID, after=EVENTS)) == []


def test_a_service_that_stays_away_is_given_up(server: DroppingServer, client: Client) -> None:
    server.unavailable = 1000

    with pytest.raises(ServiceUnreachableError, match="cannot be reached"):
        list(client.events(JOB_ID))


def test_a_refusal_is_not_repeated(
    server: DroppingServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Handler, "_send_events", lambda handler: handler.send_error(403))

    with pytest.raises(ProblemError) as caught:
        list(client.events(JOB_ID))

    assert caught.value.problem.status == 403
