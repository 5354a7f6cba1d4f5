"""Who may do what: API keys on the routes, and what protects a service without keys."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lrsearch.access import audit
from lrsearch.access.principals import NOBODY, Principal
from lrsearch.api.problems import problem_response
from lrsearch.api.service import Running, Service
from lrsearch.errors import ForbiddenError, LimitError, TooLargeError, UnauthenticatedError

_bearer = HTTPBearer(auto_error=False, description="An API key: `lrsearch keys create`.")

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts under which a service without keys may be addressed."""


async def _admit(
    request: Request,
    scopes: SecurityScopes,
    service: Running,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Who asks; admits keys with any of the scopes."""
    if not service.settings.keys_required:
        return NOBODY
    return await run_in_threadpool(_admit_key, request, scopes, service, credentials)


def _admit_key(
    request: Request,
    scopes: SecurityScopes,
    service: Service,
    credentials: HTTPAuthorizationCredentials | None,
) -> Principal:
    principal = None
    try:
        principal = _recognise(service, credentials)
        service.gate.count(principal)
        if not any(scope in principal.scopes for scope in (*scopes.scopes, "admin")):
            raise ForbiddenError(
                detail=f"The key's scopes are {', '.join(sorted(principal.scopes))}; "
                f"this needs {' or '.join(scopes.scopes)}.",
                remedy="Ask an administrator for a key with that scope.",
            )
    except (UnauthenticatedError, ForbiddenError, LimitError) as error:
        address = request.client.host if request.client else None
        asked = f"{request.method} {request.url.path}"
        audit.record(principal, "be_refused", code=error.code, request=asked, address=address)
        raise
    return principal


def _recognise(service: Service, credentials: HTTPAuthorizationCredentials | None) -> Principal:
    if credentials is None:
        raise UnauthenticatedError(
            detail="This service wants an API key.",
            remedy="Send the header: Authorization: Bearer KEY.",
        )
    return service.gate.recognise(credentials.credentials)


Reader = Annotated[Principal, Security(_admit, scopes=["read"])]
ReaderOrWorker = Annotated[Principal, Security(_admit, scopes=["read", "worker"])]
Submitter = Annotated[Principal, Security(_admit, scopes=["submit"])]
WorkerKey = Annotated[Principal, Security(_admit, scopes=["worker"])]
Admin = Annotated[Principal, Security(_admit, scopes=["admin"])]
"""Parameters of routes: who asks, having a key with one of the scopes."""


class LoopbackGuard:
    """Without keys: refuses what a web page in the user's browser could have sent.

    A name other than loopback's in `Host` is DNS rebinding; a foreign `Origin` is another site.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and (reason := _foreign(Headers(scope=scope))):
            error = ForbiddenError(
                detail=reason, remedy="Address the service as 127.0.0.1, or run it with API keys."
            )
            await problem_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies over a size, except where a route streams an upload to disk itself."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http" or _streams(scope):
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                error = TooLargeError(
                    detail=f"The body is larger than {self._max_bytes} bytes.",
                    remedy="Send less at a time; data sets and checkpoints have their own routes.",
                )
                await problem_response(error)(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        await self._app(scope, _replay(bytes(body), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, object]:
        return messages.pop() if messages else dict(await receive())

    return replay


def _streams(scope: Scope) -> bool:
    method, path = scope["method"], scope["path"].rstrip("/")
    return (method == "POST" and path in ("/v1/datasets", "/v1/source-models")) or (
        method == "PUT" and path.endswith(("/weights", "/checkpoint"))
    )


def _foreign(headers: Headers) -> str | None:
    host = headers.get("host", "")
    if _name(host) not in LOOPBACK_NAMES:
        return f"Host {host!r} is not this machine's loopback."
    origin = headers.get("origin")
    if origin is not None and origin.split("://")[-1] != host:
        return f"Origin {origin!r} is another site."
    return None


def _name(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        return host[1:].split("]")[0]
    return host.split(":")[0]
