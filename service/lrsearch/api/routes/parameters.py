"""Parameters and responses that several routes share."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import FileResponse

from lrsearch.contract.base import Contract, Identifier, Name
from lrsearch.errors import NotFoundError
from lrsearch.store import BlobStore

Limit = Annotated[int, Query(ge=1, le=200, description="Most items on a page.")]
Cursor = Annotated[Identifier | None, Query(description="`next_cursor` of the page before.")]
NewName = Annotated[Name, Query(description="What to call it; unique among the owner's.")]
Shared = Annotated[bool, Query(description="Whether everybody may use it; for administrators.")]

BINARY = {"schema": {"type": "string", "format": "binary"}}


def download(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a route that answers with a file."""
    return {200: {"description": description, "content": {media_type: BINARY}}}


def upload(description: str) -> dict[str, Any]:
    """The OpenAPI description of a route whose body is a file."""
    content = {"application/octet-stream": BINARY}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def json_response(content: Contract) -> Response:
    """A contract as it is: FastAPI would check and copy it once more, which costs as much again."""
    return Response(content.model_dump_json(), media_type="application/json")


def blob_response(
    store: BlobStore, sha256: str | None, media_type: str, filename: str
) -> FileResponse:
    """A blob as a download; raises `NotFoundError` where it is not there."""
    path = store.path(sha256) if sha256 else Path()
    if not sha256 or not path.is_file():
        raise NotFoundError(detail=f"{filename} is not in the store.", code="blob_unknown")
    return FileResponse(
        path,
        media_type=media_type,
        filename=filename,
        headers={"ETag": f'"{sha256}"'},
    )
