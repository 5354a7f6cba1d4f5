"""The OpenAPI document: FastAPI's, made to tell the truth about problems and keys."""

from typing import Any, Final

from fastapi import FastAPI

from lrsearch.api.problems import MEDIA_TYPE, PROBLEM_RESPONSES

_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": {"type": kind}}


REFUSALS: Final[dict[str, dict[str, Any]]] = {
    "401": {
        "description": "There is no key, or it is unknown, expired or revoked.",
        "headers": {"WWW-Authenticate": _header("`Bearer`.", "string")},
        "content": _PROBLEM,
    },
    "403": {"description": "The key has none of the scopes that do.", "content": _PROBLEM},
    "429": {
        "description": "The key allows no more requests per second, jobs or bytes.",
        "headers": {"Retry-After": _header("Seconds until it may be otherwise.", "integer")},
        "content": _PROBLEM,
    },
}
"""What every route that wants a key may answer."""


def describe(app: FastAPI, *, keys_required: bool) -> None:
    """Have the app's document say how errors are sent, and ask for keys only where they are."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                for status in PROBLEM_RESPONSES:
                    operation["responses"][status]["content"] = _PROBLEM
                if not keys_required:
                    operation.pop("security", None)
                elif "security" in operation:
                    operation["security"] = _alternatives(operation["security"])
                    operation["responses"] |= REFUSALS
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending it


def _alternatives(security: list[dict[str, list[str]]]) -> list[dict[str, list[str]]]:
    """One of a route's scopes will do, where FastAPI writes them as if all were needed."""
    return [
        {scheme: [scope]}
        for requirement in security
        for scheme, scopes in requirement.items()
        for scope in scopes
    ]
