"""Blobs, for workers: the weights of a final test, by content address."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from lrsearch.api.routes.parameters import blob_response, download
from lrsearch.api.security import WorkerKey
from lrsearch.api.service import Running
from lrsearch.contract.base import Sha256

router = APIRouter(prefix="/v1/blobs", tags=["leases"])


@router.get(
    "/{sha256}",
    response_class=FileResponse,
    responses=download("application/octet-stream", "The file."),
)
def get_blob(sha256: Sha256, service: Running, _: WorkerKey) -> FileResponse:
    """The file with this content."""
    return blob_response(service.store, sha256, "application/octet-stream", sha256)
