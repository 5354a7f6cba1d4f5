"""The Optuna dashboard, read-only, behind the service's own guard.

It works at the root of a site only, has no login, and can rename, tell and delete: so it is mounted
last, lets only GET and HEAD through, and where keys are demanded asks browsers for an admin key as
the password (they send no key header, and the dashboard shows everybody's jobs).
"""

import base64
from http import HTTPStatus

from a2wsgi import WSGIMiddleware
from anyio.to_thread import run_sync
from optuna_dashboard import wsgi
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from lrsearch.access import audit
from lrsearch.api.gate import Gate
from lrsearch.errors import UnauthenticatedError
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings

API_PATHS = frozenset({"v1", "healthz", "readyz", "docs", "redoc", "openapi.json"})
"""Where our own paths begin; whatever is wrong below them is not for the dashboard to answer."""


def dashboard(settings: Settings, gate: Gate, ledger: Ledger) -> Mount:
    """The guarded dashboard, for every path but our own."""
    wsgi_app = WSGIMiddleware(wsgi(ledger.storage))
    return _Elsewhere("/", app=_Guard(wsgi_app, settings, gate))  # type: ignore[arg-type]  # a2wsgi has ASGI types of its own


class _Elsewhere(Mount):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"].split("/")[1] in API_PATHS:
            return Match.NONE, {}
        return super().matches(scope)


class _Guard:
    def __init__(self, app: ASGIApp, settings: Settings, gate: Gate) -> None:
        self._app, self._settings, self._gate = app, settings, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "the dashboard is read-only; jobs are changed through /v1",
                headers={"Allow": "GET, HEAD"},
            )
        if self._settings.keys_required and not await run_sync(
            self._admitted, Headers(scope=scope)
        ):
            address = scope["client"][0] if scope.get("client") else None
            request = f"{scope['method']} {scope['path']}"
            audit.record(
                None, "be_refused", code="unauthenticated", request=request, address=address
            )
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED,
                "the dashboard wants an API key with scope 'admin' as the password",
                headers={"WWW-Authenticate": 'Basic realm="lrsearch", charset="UTF-8"'},
            )
        await self._app(scope, receive, send)

    def _admitted(self, headers: Headers) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            return self._gate.recognise(password).may("admin")
        except (ValueError, UnauthenticatedError):  # not Base64, not UTF-8, or no good
            return False
