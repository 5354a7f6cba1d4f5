"""Source models."""

from fastapi import APIRouter, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lrsearch import source_models
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
from lrsearch.contract.pages import Page
from lrsearch.contract.sources import SourceModel
from lrsearch.store import Blob

router = APIRouter(prefix="/v1/source-models", tags=["source models"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=upload("A safetensors file whose metadata says what network it fits."),
)
async def register_source_model(
    request: Request,
    name: NewName,
    service: Running,
    principal: Submitter,
    shared: Shared = False,
) -> SourceModel:
    """Register a checkpoint; the body is the safetensors file itself.

    Its metadata key `lrsearch` holds its specification (`lrsearch-worker models convert` writes
    it). A worker loads it before jobs may use it: follow `state`.
    """
    room = await run_in_threadpool(_prepare, service, name, principal, shared)
    blob = await receive_upload(request, service, "the safetensors file", room=room)
    source_model = await run_in_threadpool(_register, service, name, blob, principal, shared)
    audit.record(principal, "register_source_model", source_model=source_model.id, name=name)
    service.changed()
    return source_model


@router.get("")
def list_source_models(
    service: Running, principal: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[SourceModel]:
    """Your source models and those that are shared, the newest first."""
    with service.database.read() as session:
        return source_models.list_source_models(session, principal, cursor, limit)


@router.get("/{source_model}")
def get_source_model(source_model: str, service: Running, principal: Reader) -> SourceModel:
    """One source model, by id or name, with its card."""
    with service.database.read() as session:
        return source_models.source_model_as_contract(
            source_models.find_source_model(session, source_model, principal)
        )


@router.get(
    "/{source_model}/weights",
    response_class=FileResponse,
    responses=download("application/octet-stream", "The safetensors file."),
)
def get_weights(source_model: str, service: Running, principal: ReaderOrWorker) -> FileResponse:
    """The safetensors file."""
    with service.database.read() as session:
        row = source_models.find_source_model(session, source_model, principal.at_work())
    audit.record(principal, "download_source_model", source_model=row.id)
    return blob_response(
        service.store, row.weights_sha256, "application/octet-stream", f"{row.name}.safetensors"
    )


def _prepare(service: Service, name: str, principal: Principal, shared: bool) -> Room | None:
    """Before the upload, so that nobody sends gigabytes to be refused."""
    with service.database.read() as session:
        source_models.require_free_name(session, name, owner_of(principal, shared=shared))
        return room_of(session, principal)


def _register(
    service: Service, name: str, blob: Blob, principal: Principal, shared: bool
) -> SourceModel:
    spec = source_models.read_spec(service.store.path(blob.sha256))
    with service.database.write() as session:
        return source_models.register_source_model(
            session, name, spec, blob, principal, shared=shared
        )
