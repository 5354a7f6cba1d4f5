"""The OpenAPI document: FastAPI's, made to tell the truth about problems and keys."""

from typing import Any

from fastapi import FastAPI

from lrsearch.api.problems import MEDIA_TYPE, PROBLEM_RESPONSES

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: FastAPI, *, keys_required: bool) -> None:
    """Have the app's document say how errors are sent, and ask for keys only where they are."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        for path in document["paths"].values():
            for operation in path.values():
                if not keys_required:
                    operation.pop("security", None)
                for status in PROBLEM_RESPONSES:
                    operation["responses"][status]["content"] = _PROBLEM
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending it
