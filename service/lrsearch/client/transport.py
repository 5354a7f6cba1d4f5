"""HTTP to the service: address, key, retries, and problems turned into exceptions."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from lrsearch.client.errors import ClientError, ProblemError, ServiceUnreachableError

DEFAULT_URL = "http://127.0.0.1:8000"

UNAVAILABLE = frozenset({502, 503, 504})
"""Statuses of a service that may be back in a moment."""

TOO_MANY_REQUESTS = "too_many_requests"
"""Code of the one problem of status 429 that passes by itself."""

LONGEST_PAUSE_SECONDS = 30.0
"""Before a request is sent again, whatever the service asks for."""


class Transport:
    """One connection pool to one service.

    Args:
        url: Address of the service; null takes `LRSEARCH_URL`, else `DEFAULT_URL`.
        key: API key; null takes that of the file that `LRSEARCH_API_KEY_FILE` names, else
            `LRSEARCH_API_KEY`, else none is sent.
        timeout_seconds: How long one answer may take.
        attempts: How often a request is sent that may be sent again.
        transport: Replaces the network, for tests.
    """

    def __init__(
        self,
        url: str | None,
        key: str | None,
        timeout_seconds: float,
        attempts: int,
        transport: httpx.BaseTransport | None,
    ) -> None:
        self.url = (url or os.environ.get("LRSEARCH_URL") or DEFAULT_URL).rstrip("/")
        key = key or _key_of_environment()
        self.http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=min(5.0, timeout_seconds)),
            transport=transport,
        )
        self._attempts = attempts

    def request(
        self,
        method: str,
        path: str,
        *,
        repeat: bool,
        content: str | Callable[[], Iterator[bytes]] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Sends a request and returns its successful answer.

        Args:
            method: HTTP method.
            path: Path on the service, from `/`.
            repeat: Whether the service takes the request twice without harm. If not, it is sent
                again only where no connection was made.
            content: Body of the request, or what makes it anew for each attempt.
            options: Further arguments of `httpx.Client.request`.

        Raises:
            ProblemError: The service refused.
            ServiceUnreachableError: No answer came.
        """
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts),
            wait=_pause_seconds,
            retry=retry_if_exception(may_pass if repeat else _never_arrived),
            reraise=True,
        )
        with self.broken_connections():
            for attempt in retrying:
                with attempt:
                    body = content() if callable(content) else content
                    response = self.http.request(method, path, content=body, **options)
                    if response.is_error:
                        raise ProblemError.of(response)
        return response

    @contextmanager
    def stream(self, path: str) -> Iterator[httpx.Response]:
        """Opens an answer whose content the caller reads piece by piece.

        Raises:
            ProblemError: The service refused.
            ServiceUnreachableError: No answer came, or it broke off.
        """
        with self.broken_connections(), self.http.stream("GET", path) as response:
            if response.is_error:
                response.read()
                raise ProblemError.of(response)
            yield response

    @contextmanager
    def broken_connections(self) -> Iterator[None]:
        """Turns the network's errors into `ServiceUnreachableError`."""
        try:
            yield
        except httpx.TransportError as error:
            raise ServiceUnreachableError(self.url, error) from error


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment."""
    if isinstance(error, ProblemError):
        return error.problem.status in UNAVAILABLE or error.problem.code == TOO_MANY_REQUESTS
    return isinstance(
        error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError
    )


def _never_arrived(error: BaseException) -> bool:
    """Or was turned away at the door."""
    if isinstance(error, ProblemError):
        return error.problem.code == TOO_MANY_REQUESTS
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)


_backoff = wait_exponential(multiplier=0.2, max=5.0) + wait_random(0.0, 0.2)


def _pause_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, ProblemError) else None
    return max(_backoff(state), min(asked or 0.0, LONGEST_PAUSE_SECONDS))


def _key_of_environment() -> str | None:
    file = os.environ.get("LRSEARCH_API_KEY_FILE")
    return read_key(Path(file)) if file else os.environ.get("LRSEARCH_API_KEY")


def read_key(file: Path) -> str:
    """The key that a file holds.

    Raises:
        ClientError: It cannot be read, or is empty.
    """
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"The key file {file} cannot be read: {error}") from error
    if not key:
        raise ClientError(f"The key file {file} is empty; it should hold an API key.")
    return key
