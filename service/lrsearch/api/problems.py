"""Errors as problem details (RFC 9457): the one place where HTTP status codes live."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lrsearch.contract.problems import FieldProblem, Problem
from lrsearch.errors import (
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidError,
    LRSearchError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from lrsearch.intake0.errors import IntakeError

log = structlog.get_logger(__name__)

STATUS: dict[type[LRSearchError], HTTPStatus] = {
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}

MEDIA_TYPE = "application/problem+json"

LONGEST_VALUE_SHOWN = 200

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request is at fault; the problem says how."},
    "5XX": {"model": Problem, "description": "The service is at fault, or cannot answer now."},
}
"""For the OpenAPI document of every route."""


def install_error_handlers(app: FastAPI) -> None:
    """Have every error of the app rendered as a problem."""
    app.add_exception_handler(LRSearchError, _ours)
    app.add_exception_handler(IntakeError, _intake)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)


def problem_response(error: LRSearchError) -> Response:
    """The response for one of our errors."""
    return _response(
        STATUS[type(error)],
        code=error.code,
        detail=error.detail,
        remedy=error.remedy,
        errors=error.errors,
        paths=error.paths,
    )


def _response(
    status: HTTPStatus,
    code: str,
    detail: str,
    remedy: str | None = None,
    errors: Sequence[FieldError] = (),
    paths: Sequence[str] = (),
) -> Response:
    problem = Problem(
        type=f"urn:lrsearch:problem:{code}",
        title=status.phrase,
        status=status,
        detail=detail,
        code=code,
        remedy=remedy,
        errors=[
            FieldProblem(field=e.field, message=e.message, value=_short(e.value)) for e in errors
        ],
        paths=list(paths),
    )
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse(
        problem.model_dump(mode="json"), status, media_type=MEDIA_TYPE, headers=headers
    )


def _ours(_: Request, error: Exception) -> Response:
    assert isinstance(error, LRSearchError)
    return problem_response(error)


def _intake(_: Request, error: Exception) -> Response:
    assert isinstance(error, IntakeError)
    return _response(
        HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.message, paths=error.paths[:100]
    )


def _validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        FieldError(
            field=".".join(str(part) for part in item["loc"] if part not in ("body", "query")),
            message=item["msg"].removeprefix("Value error, "),
            value=item.get("input"),
        )
        for item in error.errors()
    ]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return _response(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid",
        f"{first.field or 'body'}: {first.message}{more}",
        remedy="Correct the fields named in errors; /docs describes each.",
        errors=errors,
    )


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return _response(status, status.name.lower(), str(error.detail))


def _database(_: Request, error: Exception) -> Response:
    log.warning("the database did not answer", error=str(error)[:500])
    return _response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database_unavailable",
        "The database cannot answer now.",
        remedy="Send the request again in a moment.",
    )


def _disconnected(_: Request, __: Exception) -> Response:
    return _response(HTTPStatus.BAD_REQUEST, "cut_off", "The body ended before its end.")


def _unexpected(_: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "An unexpected error; the service's log has it.",
    )


def _short(value: Any) -> Any:
    """What was sent, where it is short and can be shown as JSON."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = repr(value)
        value = text
    return value if len(text) <= LONGEST_VALUE_SHOWN else None
