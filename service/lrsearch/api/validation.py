"""What pydantic says about a request's fields, told in the words of whoever sent it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lrsearch.errors import FieldError

WRONG_SHAPE = frozenset({"model_attributes_type", "model_type", "dict_type", "list_type"})
"""Errors of a value that is no object, or no list, at all."""


def field_errors(errors: Sequence[Any], body: Any) -> list[FieldError]:
    """The errors of a request, each with the path that its field has in the request.

    pydantic's paths also name the branches of unions that were tried, and a value that fits none
    gives an error a branch: only those of the branch that was meant are kept.

    Args:
        errors: pydantic's, of a whole request: their paths begin with `body`, `query` and so on.
        body: the parsed body.
    """
    found = [(_path(error["loc"], error["type"], body), error) for error in errors]
    meant = [path for path, error in found if error["type"] not in WRONG_SHAPE]
    kept = [
        (path, error)
        for path, error in found
        if error["type"] not in WRONG_SHAPE
        or not any(other[: len(path)] == path for other in meant)
    ]
    return [
        FieldError(
            field=".".join(path) or "body",
            message=error["msg"].removeprefix("Value error, "),
            value=error.get("input"),
        )
        for path, error in kept
    ]


def _path(location: Sequence[str | int], kind: str, body: Any) -> tuple[str, ...]:
    place, *parts = location
    if place != "body":
        return tuple(str(part) for part in parts)
    path, value = [], body
    for position, part in enumerate(parts):
        is_absent_field = kind == "missing" and position == len(parts) - 1
        if _holds(value, part):
            value = value[part]
        elif not is_absent_field:
            continue  # a branch of a union
        path.append(str(part))
    return tuple(path)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
