"""The OpenAPI document: FastAPI's, made whole where problems, keys and events are concerned."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

from lrsearch.api.problems import MEDIA_TYPE, PROBLEM_RESPONSES
from lrsearch.contract.events import Event

_SCHEMAS: Final = "#/components/schemas/"
_PROBLEM: Final = {MEDIA_TYPE: {"schema": {"$ref": f"{_SCHEMAS}Problem"}}}


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
    """Have the app's document say how errors and events are sent, and ask for keys where they are.

    Where the kind of a thing is told by one of its fields, that field has to be sent, although the
    types have a default for it.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        schemas = document["components"]["schemas"]
        schemas |= _event_schemas()
        for field, name in _told_apart(document):
            required = schemas[name].setdefault("required", [])
            if field not in required:
                required.append(field)
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


def _event_schemas() -> dict[str, Any]:
    """Those of an event and its parts, which no body or parameter mentions."""
    schema = Event.model_json_schema(ref_template=f"{_SCHEMAS}{{model}}", mode="serialization")
    parts: dict[str, Any] = schema.pop("$defs")
    return parts | {"Event": schema}


def _told_apart(schema: Any) -> Iterator[tuple[str, str]]:
    """Fields by which things are told apart, each with the name of such a thing's schema."""
    if isinstance(schema, list):
        for part in schema:
            yield from _told_apart(part)
    if not isinstance(schema, dict):
        return
    if "discriminator" in schema:
        told = schema["discriminator"]
        for reference in told["mapping"].values():
            yield told["propertyName"], reference.removeprefix(_SCHEMAS)
    for part in schema.values():
        yield from _told_apart(part)


def _alternatives(security: list[dict[str, list[str]]]) -> list[dict[str, list[str]]]:
    """One of a route's scopes will do, where FastAPI writes them as if all were needed."""
    return [
        {scheme: [scope]}
        for requirement in security
        for scheme, scopes in requirement.items()
        for scope in scopes
    ]
