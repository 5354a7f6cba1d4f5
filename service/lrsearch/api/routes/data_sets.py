"""Target data sets."""

from fastapi import APIRouter, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lrsearch import data_sets
from lrsearch.access import audit
from lrsearch.access.limits import Room, room_of
from lrsearch.access.principals import Principal, owner_of
from lrsearch.api.routes.parameters import (
    Cursor,
    Limit,
    NewName,
    Shared,
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
    request: Request,
    name: NewName,
    service: Running,
    principal: Submitter,
    shared: Shared = False,
) -> DataSet:
    """Upload a zip or tar of one folder of images for each label; the body is the archive itself.

    It is validated in the background: follow `state` and `progress`.
    """
    room = await run_in_threadpool(_prepare, service, name, principal, shared)
    blob = await receive_upload(request, service, "the archive", room=room)
    data_set = await run_in_threadpool(_add, service, name, blob, principal, shared)
    audit.record(principal, "upload_data_set", data_set=data_set.id, name=name)
    service.changed()
    return data_set


@router.post("/folders", status_code=status.HTTP_202_ACCEPTED)
def register_folder(
    registration: FolderRegistration, service: Running, principal: Submitter
) -> DataSet:
    """Take images from a folder of the server, below one of the configured roots."""
    with service.database.write() as session:
        data_set = data_sets.add_folder(session, registration, service.settings, principal)
    audit.record(
        principal,
        "register_folder",
        data_set=data_set.id,
        name=data_set.name,
        path=registration.path,
    )
    service.changed()
    return data_set


@router.get("")
def list_data_sets(
    service: Running, principal: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[DataSet]:
    """Your data sets and those that are shared, the newest first."""
    with service.database.read() as session:
        return data_sets.list_data_sets(session, principal, cursor, limit)


@router.get("/{data_set}")
def get_data_set(data_set: str, service: Running, principal: Reader) -> DataSet:
    """One data set, by id or name, with its statistics and its unreadable files by name."""
    with service.database.read() as session:
        return data_sets.data_set_as_contract(data_sets.find_data_set(session, data_set, principal))


@router.get(
    "/{data_set}/content",
    response_class=FileResponse,
    responses=download("application/zip", "The archive."),
)
def get_content(data_set: str, service: Running, principal: ReaderOrWorker) -> FileResponse:
    """The canonical archive: a zip without compression, entries `label/filename`."""
    with service.database.read() as session:
        row = data_sets.require_ready_data_set(
            data_sets.find_data_set(session, data_set, principal.at_work())
        )
    audit.record(principal, "download_data_set", data_set=row.id)
    return blob_response(service.store, row.content_sha256, "application/zip", f"{row.name}.zip")


def _prepare(service: Service, name: str, principal: Principal, shared: bool) -> Room | None:
    """Before the upload, so that nobody sends gigabytes to be refused."""
    with service.database.read() as session:
        data_sets.require_free_name(session, name, owner_of(principal, shared=shared))
        return room_of(session, principal)


def _add(service: Service, name: str, blob: Blob, principal: Principal, shared: bool) -> DataSet:
    with service.database.write() as session:
        return data_sets.add_upload(session, name, blob, principal, shared=shared)
