"""Target data sets."""

from fastapi import APIRouter, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lrsearch import data_sets
from lrsearch.api.routes.parameters import (
    Cursor,
    Limit,
    NewName,
    blob_response,
    download,
    upload,
)
from lrsearch.api.security import Reader, ReaderOrWorker, Submitter
from lrsearch.api.service import Running, Service
from lrsearch.api.uploads import receive_upload
from lrsearch.contract.datasets import DataSet, FolderRegistration
from lrsearch.contract.pages import Page
from lrsearch.store import Blob

router = APIRouter(prefix="/v1/datasets", tags=["data sets"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=upload("A zip or tar archive with one folder of images for each label."),
)
async def upload_data_set(
    request: Request, name: NewName, service: Running, principal: Submitter
) -> DataSet:
    """Upload a zip or tar of one folder of images for each label; the body is the archive itself.

    It is validated in the background: follow `state` and `progress`.
    """
    await run_in_threadpool(_require_free_name, service, name)
    blob = await receive_upload(request, service, "the archive")
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


@router.get(
    "/{data_set}/content",
    response_class=FileResponse,
    responses=download("application/zip", "The archive."),
)
def get_content(data_set: str, service: Running, _: ReaderOrWorker) -> FileResponse:
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
