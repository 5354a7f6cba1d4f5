"""The Optuna dashboard, read-only, behind the service's own guard.

It works at the root of a site only, has no login, and can rename, tell and delete: so it is mounted
last, lets only GET and HEAD through, and where keys are demanded asks browsers for an admin key as
the password (they send no key header, and the dashboard shows everybody's jobs).
"""

import base64
import binascii
from http import HTTPStatus

from a2wsgi import WSGIMiddleware
from anyio.to_thread import run_sync
from optuna_dashboard import wsgi
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lrsearch import keys
from lrsearch.db.engine import Database
from lrsearch.errors import UnauthenticatedError
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings


def dashboard(settings: Settings, database: Database, ledger: Ledger) -> ASGIApp:
    """The guarded dashboard, to be mounted at `/` after every other route."""
    return _Guard(WSGIMiddleware(wsgi(ledger.storage)), settings, database)  # type: ignore[arg-type]  # a2wsgi has ASGI types of its own


class _Guard:
    def __init__(self, app: ASGIApp, settings: Settings, database: Database) -> None:
        self._app, self._settings, self._database = app, settings, database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            response = PlainTextResponse(
                "The dashboard is read-only; jobs are changed through /v1.",
                HTTPStatus.METHOD_NOT_ALLOWED,
                headers={"Allow": "GET, HEAD"},
            )
            await response(scope, receive, send)
            return
        if self._settings.keys_required and not await run_sync(
            self._admitted, Headers(scope=scope)
        ):
            response = PlainTextResponse(
                "Give an admin key as the password.",
                HTTPStatus.UNAUTHORIZED,
                headers={"WWW-Authenticate": 'Basic realm="lrsearch", charset="UTF-8"'},
            )
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admitted(self, headers: Headers) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
            with self._database.read() as session:
                return keys.authenticate(session, password).may("admin")
        except (binascii.Error, UnicodeDecodeError, UnauthenticatedError):
            return False
