"""Errors as problem details (RFC 9457): the one place where HTTP status codes live."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Mount

from lrsearch.api.headers import API_HEADERS
from lrsearch.api.validation import field_errors
from lrsearch.contract.problems import FieldProblem, Problem
from lrsearch.db.engine import waited_in_vain
from lrsearch.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidError,
    LimitError,
    LRSearchError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)

log = structlog.get_logger(__name__)

STATUS: dict[type[LRSearchError], HTTPStatus] = {
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    LimitError: HTTPStatus.TOO_MANY_REQUESTS,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

MEDIA_TYPE = "application/problem+json"

LONGEST_VALUE_SHOWN = 200

REMEDY = {
    HTTPStatus.BAD_REQUEST: "Send the request again, whole and well-formed; see /docs.",
    HTTPStatus.UNAUTHORIZED: "Give an API key; an administrator makes one: lrsearch keys create.",
    HTTPStatus.NOT_FOUND: "See /docs for the routes that there are.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Use a method that the header Allow names; see /docs.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Correct the fields named in errors; /docs describes each.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Send it again; if it fails again, look into the log.",
}
"""What to do about errors that do not say it themselves."""

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
"""Those that a path may allow."""

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request is at fault; the problem says how."},
    "5XX": {"model": Problem, "description": "The service is at fault, or cannot answer now."},
}
"""For the OpenAPI document of every route."""


def install_error_handlers(app: FastAPI) -> None:
    """Have every error of the app rendered as a problem."""
    app.add_exception_handler(LRSearchError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeoutError, _database)
    app.add_exception_handler(DataError, _data)
    app.add_exception_handler(IntegrityError, _collision)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


def problem_response(error: LRSearchError) -> Response:
    """The response for one of our errors."""
    return _response(
        next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS),
        code=error.code,
        detail=error.detail,
        remedy=error.remedy,
        errors=error.errors,
        paths=error.paths,
        headers=_headers(error),
    )


def _headers(error: LRSearchError) -> dict[str, str] | None:
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, LimitError):
        return {"Retry-After": str(ceil(error.retry_after_seconds))}
    return None


def _response(
    status: HTTPStatus,
    code: str,
    detail: str,
    remedy: str | None = None,
    errors: Sequence[FieldError] = (),
    paths: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    problem = Problem(
        type=f"urn:lrsearch:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        remedy=remedy or REMEDY.get(status),
        errors=[
            FieldProblem(field=e.field, message=e.message, value=_short(e.value)) for e in errors
        ],
        paths=list(paths),
    )
    content = json.dumps(problem.model_dump(mode="json"), allow_nan=False, ensure_ascii=False)
    # What was sent may hold lone surrogates, which are no UTF-8; as escapes they are JSON.
    return Response(content.encode(errors="backslashreplace"), status, headers, MEDIA_TYPE)


def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, LRSearchError)
    return problem_response(error)


def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _response(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "malformed_json",
            f"body: is not JSON: {first['ctx']['error']} at character {first['loc'][1]}.",
            remedy="Send one JSON object as the body.",
            errors=[FieldError("body", f"is not JSON: {first['ctx']['error']}")],
        )
    if isinstance(error.body, bytes):  # only a body that calls itself JSON is read as JSON
        sent = request.headers.get("content-type")
        return _response(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "wrong_content_type",
            f"Content-Type: is {sent!r}; this route takes application/json."
            if sent
            else "Content-Type: is missing; this route takes application/json.",
            remedy="Send the header: Content-Type: application/json.",
            errors=[FieldError("Content-Type", "must be application/json", sent)],
        )
    errors = field_errors(error.errors(), error.body)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return _response(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"{errors[0].field}: {errors[0].message}{more}",
        errors=errors,
    )


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request) or headers.get("Allow", "")
    return _response(
        status,
        status.name.lower(),
        f"{request.method} {request.url.path}: {error.detail}.",
        headers=headers,
    )


def _allowed(request: Request) -> str:
    """The methods of a path: the framework names those of the first route only."""
    return ", ".join(
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] == Match.FULL
            for route in request.app.routes
            if not isinstance(route, Mount)  # the dashboard speaks for itself
        )
    )


def _database(_: Request, error: Exception) -> Response:
    if waited_in_vain(error):
        log.warning("somebody keeps locked what a request is about", error=str(error)[:500])
        return _response(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "busy",
            "Another request keeps locked what this one is about.",
            remedy="Send the request again in a moment.",
        )
    log.warning("the database did not answer", error=str(error)[:500])
    return _response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database_unavailable",
        "The database cannot answer now.",
        remedy="Send the request again in a moment.",
    )


def _data(_: Request, error: Exception) -> Response:
    log.info("the database refused a value", error=str(error)[:500])
    return _response(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        "The request holds a value that the database cannot keep.",
        remedy="Leave out NUL characters and numbers beyond 64 bits.",
    )


def _collision(_: Request, error: Exception) -> Response:
    log.info("two requests collided", error=str(error)[:500])
    return _response(
        HTTPStatus.CONFLICT,
        "collision",
        "Another request has just made the same thing.",
        remedy="Send the request again, and see what the other one made.",
    )


def _disconnected(_: Request, __: Exception) -> Response:
    return _response(HTTPStatus.BAD_REQUEST, "cut_off", "The body ended before its end.")


def _unexpected(_: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "An unexpected error; the service's log has it.",
        # It is sent outside all middleware, and the server closes the connection behind it.
        headers=API_HEADERS | {"Connection": "close"},
    )


def _short(value: Any) -> Any:
    """What was sent, where it is short and can be shown as JSON."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError):
        text = repr(value)
        value = text
    return value if len(text) <= LONGEST_VALUE_SHOWN else None
