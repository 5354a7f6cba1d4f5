"""Source models."""

from fastapi import APIRouter, Request, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from lrsearch import source_models
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
    request: Request, name: NewName, service: Running, principal: Submitter
) -> SourceModel:
    """Register a checkpoint; the body is the safetensors file itself.

    Its metadata key `lrsearch` holds its specification (`lrsearch-worker models convert` writes
    it). A worker loads it before jobs may use it: follow `state`.
    """
    await run_in_threadpool(_require_free_name, service, name)
    blob = await receive_upload(request, service, "the safetensors file")
    source_model = await run_in_threadpool(_register, service, name, blob, principal.key_id)
    service.changed()
    return source_model


@router.get("")
def list_source_models(
    service: Running, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[SourceModel]:
    """Source models, the newest first."""
    with service.database.read() as session:
        return source_models.list_source_models(session, cursor, limit)


@router.get("/{source_model}")
def get_source_model(source_model: str, service: Running, _: Reader) -> SourceModel:
    """One source model, by id or name, with its card."""
    with service.database.read() as session:
        return source_models.source_model_as_contract(
            source_models.find_source_model(session, source_model, "source_model")
        )


@router.get(
    "/{source_model}/weights",
    response_class=FileResponse,
    responses=download("application/octet-stream", "The safetensors file."),
)
def get_weights(source_model: str, service: Running, _: ReaderOrWorker) -> FileResponse:
    """The safetensors file."""
    with service.database.read() as session:
        row = source_models.find_source_model(session, source_model, "source_model")
    return blob_response(
        service.store, row.weights_sha256, "application/octet-stream", f"{row.name}.safetensors"
    )


def _require_free_name(service: Service, name: str) -> None:
    """Before the upload, so that nobody sends gigabytes to be refused."""
    with service.database.read() as session:
        source_models.require_free_name(session, name)


def _register(service: Service, name: str, blob: Blob, owner: str | None) -> SourceModel:
    spec = source_models.read_spec(service.store.path(blob.sha256))
    with service.database.write() as session:
        return source_models.register_source_model(session, name, spec, blob, owner)
