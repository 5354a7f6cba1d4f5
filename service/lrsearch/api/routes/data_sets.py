"""Target data sets."""

from fastapi import APIRouter, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lrsearch import data_sets
from lrsearch.api.routes.parameters import Cursor, Limit, NewName, blob_response
from lrsearch.api.security import Reader, Submitter
from lrsearch.api.service import Running, Service
from lrsearch.contract.datasets import DataSet, FolderRegistration
from lrsearch.contract.pages import Page
from lrsearch.errors import invalid_field
from lrsearch.store import Blob

router = APIRouter(prefix="/v1/datasets", tags=["data sets"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A zip or tar archive with one folder of images for each label.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def upload_data_set(
    request: Request, name: NewName, service: Running, principal: Submitter
) -> DataSet:
    """Upload a zip or tar of one folder of images for each label; the body is the archive itself.

    It is validated in the background: follow `state` and `progress`.
    """
    await run_in_threadpool(_require_free_name, service, name)
    blob = await service.store.receive(request.stream(), service.settings.max_upload_bytes)
    if blob.size_bytes == 0:
        raise invalid_field(
            "body", "is empty; send the archive as the request's body (curl -T FILE)"
        )
    data_set = await run_in_threadpool(_add, service, name, blob, principal.key_id)
    service.changed()
    return data_set


@router.post("/folders", status_code=status.HTTP_202_ACCEPTED)
def register_folder(
    registration: FolderRegistration, service: Running, principal: Submitter
) -> DataSet:
    """Take images from a folder of the server, below one of the configured roots."""
    with service.database.write() as session:
        data_set = data_sets.add_folder(
            session, registration.name, registration.path, service.settings, principal.key_id
        )
    service.changed()
    return data_set


@router.get("")
def list_data_sets(
    service: Running, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[DataSet]:
    """Data sets, the newest first."""
    with service.database.read() as session:
        return data_sets.list_data_sets(session, cursor, limit)


@router.get("/{data_set}")
def get_data_set(data_set: str, service: Running, _: Reader) -> DataSet:
    """One data set, by id or name, with its statistics and its unreadable files by name."""
    with service.database.read() as session:
        return data_sets.data_set_as_contract(
            data_sets.find_data_set(session, data_set, "data_set")
        )


@router.get("/{data_set}/content", response_class=FileResponse)
def get_content(data_set: str, service: Running, _: Reader) -> FileResponse:
    """The canonical archive: a zip without compression, entries `label/filename`."""
    with service.database.read() as session:
        row = data_sets.require_ready_data_set(
            data_sets.find_data_set(session, data_set, "data_set")
        )
    return blob_response(service.store, row.content_sha256, "application/zip", f"{row.name}.zip")


def _require_free_name(service: Service, name: str) -> None:
    """Before the upload, so that nobody sends gigabytes to be refused."""
    with service.database.read() as session:
        data_sets.require_free_name(session, name)


def _add(service: Service, name: str, blob: Blob, owner: str | None) -> DataSet:
    with service.database.write() as session:
        return data_sets.add_upload(session, name, blob, owner)
