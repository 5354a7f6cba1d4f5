"""What is measured of every request, and what its lines in the log say of it."""

from secrets import token_hex
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrsearch.metrics import REQUEST_SECONDS

NAMES = {
    "job_id": "job",
    "number": "trial",
    "lease_id": "lease",
    "work_id": "work",
    "data_set": "data_set",
    "source_model": "source_model",
}
"""What a route's parameters are called in the log."""


async def name_in_log(request: Request) -> None:
    """Have every line that is logged for a request say which job, trial and lease it is about."""
    given = request.path_params
    structlog.contextvars.bind_contextvars(
        **{NAMES[name]: value for name, value in given.items() if name in NAMES}
    )


class Measured:
    """Notes how long each route takes until its answer begins, and numbers the requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request=token_hex(4))
        started, status = perf_counter(), 0

        def note() -> None:
            # Paths would be endless; routes are few.
            route = getattr(scope.get("route"), "path", "other")
            labels = (scope["method"], route, str(status or 500))
            REQUEST_SECONDS.labels(*labels).observe(perf_counter() - started)

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                note()
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            if not status:  # it broke down, or the client has gone
                note()
