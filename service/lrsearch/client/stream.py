"""A job's events as one unbroken sequence, over connections that may break."""

import time
from collections.abc import Callable, Iterator

import httpx
from httpx_sse import EventSource, SSEError

from lrsearch.client.errors import ClientError, ProblemError, ServiceUnreachableError
from lrsearch.client.transport import Transport, may_pass
from lrsearch.contract.events import Event, JobFinished

_PATIENCE = 12
"""Connections in a row that may fail without a single event: about 45 seconds."""

_LONGEST_PAUSE_SECONDS = 5.0

_SILENCE_SECONDS = 60.0
"""The service sends a sign of life several times within this."""


def follow(
    transport: Transport, path: str, after: int, is_finished: Callable[[], bool]
) -> Iterator[Event]:
    """Yields the events that follow number `after`, in order and each once, to the job's end.

    A connection that breaks is opened again where it stopped, by `Last-Event-ID`.

    Args:
        transport: Connection to the service.
        path: Path of the event stream.
        after: Number of the last event known; 0 starts from the first.
        is_finished: Tells whether the job has ended; asked when a stream ends without saying so.

    Raises:
        ProblemError: The service refused.
        ServiceUnreachableError: The connection broke and did not come back.
    """
    finished = False
    failures = 0
    while True:
        try:
            for event in _one_connection(transport, path, after):
                failures = 0
                if event.id <= after:
                    continue
                after = event.id
                yield event
                if isinstance(event.body, JobFinished):
                    return
            if finished:  # all that a finished job has to say had been said before
                return
            finished = is_finished()
        except SSEError as error:
            raise ClientError(f"{transport.url}{path} is no event stream: {error}") from error
        except (httpx.TransportError, ProblemError, ServiceUnreachableError) as error:
            if isinstance(error, ProblemError) and not may_pass(error):
                raise
            if failures >= _PATIENCE:
                raise ServiceUnreachableError(transport.url, error) from error
        failures += 1
        if not finished:
            time.sleep(min(0.05 * 2**failures, _LONGEST_PAUSE_SECONDS))


def _one_connection(transport: Transport, path: str, after: int) -> Iterator[Event]:
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    if after:
        headers["Last-Event-ID"] = str(after)
    timeout = httpx.Timeout(_SILENCE_SECONDS, connect=5.0)
    with transport.http.stream("GET", path, headers=headers, timeout=timeout) as response:
        if response.is_error:
            response.read()
            raise ProblemError.of(response)
        for sent in EventSource(response).iter_sse():
            if sent.data:
                yield Event.model_validate_json(sent.data)
