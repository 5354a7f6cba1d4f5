"""Parameters and responses that several routes share."""

from pathlib import Path
from typing import Annotated

from fastapi import Query
from fastapi.responses import FileResponse

from lrsearch.contract.base import Name
from lrsearch.errors import NotFoundError
from lrsearch.store import BlobStore

Limit = Annotated[int, Query(ge=1, le=200, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="`next_cursor` of the page before.")
]
NewName = Annotated[Name, Query(description="What to call it; unique.")]


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
        headers={"ETag": f'"{sha256}"', "X-Content-Type-Options": "nosniff"},
    )
