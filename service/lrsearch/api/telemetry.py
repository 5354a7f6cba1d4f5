"""What is measured of every request."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrsearch.metrics import REQUEST_SECONDS


class Measured:
    """Notes how long each route takes until its answer begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
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
