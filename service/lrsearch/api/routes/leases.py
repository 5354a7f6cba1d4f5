"""Leases: the worker's side of the service."""

from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response, status
from fastapi.responses import FileResponse

from lrsearch.api.routes.parameters import blob_response, download, json_response, upload
from lrsearch.api.security import WorkerKey
from lrsearch.api.service import Running, Service
from lrsearch.api.uploads import receive_upload
from lrsearch.contract.leases import (
    LEASE_TOKEN_HEADER,
    Checkpoint,
    Claim,
    Heartbeat,
    HeartbeatReply,
    Lease,
    Report,
    ReportReply,
    UploadReply,
)
from lrsearch.errors import invalid_field
from lrsearch.leasing import heartbeats, put_back, reports
from lrsearch.leasing.checkpoints import held_checkpoint, note_checkpoint
from lrsearch.leasing.claims import Asked
from lrsearch.store import Blob

router = APIRouter(prefix="/v1/leases", tags=["leases"])

CLAIM_POLL_SECONDS = 2.0
"""How often a waiting claim looks again; news in this replica rings the bell."""

Token = Annotated[str, Header(alias=LEASE_TOKEN_HEADER, description="From the claim's reply.")]


@router.post(
    "",
    response_model=Lease,
    responses={status.HTTP_204_NO_CONTENT: {"description": "There was no work."}},
)
async def claim(body: Claim, request: Request, service: Running, _: WorkerKey) -> Response:
    """Get work: at once, when there is some, or 204 after `wait_seconds`."""
    asked = Asked(body)
    deadline = asked.at + body.wait_seconds
    while True:
        ring = service.bell.next_ring()
        lease = await service.claims.ask(asked)
        if lease is not None:
            if await request.is_disconnected():  # else its work would wait until it expires
                await service.in_lane(_release, service, lease.id, lease.token, put_back.GONE)
            service.changed()
            return json_response(lease)
        left = deadline - monotonic()
        if left <= 0.0:
            break
        await service.bell.wait(ring, min(CLAIM_POLL_SECONDS, left))
        if await request.is_disconnected():
            break
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/{lease_id}/heartbeat", response_model=HeartbeatReply)
async def heartbeat(
    lease_id: str, body: Heartbeat, service: Running, _: WorkerKey, token: Token
) -> Response:
    """Keep the lease, hand in finished epochs, and learn what to do with each piece of work."""
    reply = await service.in_lane(_heartbeat, service, lease_id, token, body)
    if body.epochs:
        service.changed()
    return json_response(reply)


@router.put(
    "/{lease_id}/work/{work_id}/weights", openapi_extra=upload("The trial's safetensors file.")
)
async def upload_weights(
    lease_id: str, work_id: str, request: Request, service: Running, _: WorkerKey, token: Token
) -> UploadReply:
    """Upload a trial's weights, before its report; the body is the safetensors file itself."""
    blob = await receive_upload(request, service, "the safetensors file")
    await service.in_lane(_note_upload, service, lease_id, token, work_id, blob)
    return UploadReply(sha256=blob.sha256, size_bytes=blob.size_bytes)


@router.put(
    "/{lease_id}/work/{work_id}/checkpoint",
    openapi_extra=upload("The trial's state, as its next attempt wants it."),
)
async def upload_checkpoint(
    lease_id: str,
    work_id: str,
    checkpoint: Annotated[Checkpoint, Query()],
    request: Request,
    service: Running,
    _: WorkerKey,
    token: Token,
) -> UploadReply:
    """Upload where a trial has got to; it replaces the checkpoint before, for the next attempt."""
    blob = await receive_upload(request, service, "the checkpoint", store=service.checkpoints)
    if blob.sha256 != checkpoint.sha256:
        raise invalid_field("sha256", f"the body has the SHA-256 {blob.sha256}", checkpoint.sha256)
    await service.in_lane(_note_checkpoint, service, lease_id, token, work_id, checkpoint)
    return UploadReply(sha256=blob.sha256, size_bytes=blob.size_bytes)


@router.get(
    "/{lease_id}/work/{work_id}/checkpoint",
    response_class=FileResponse,
    responses=download("application/octet-stream", "The file."),
)
def get_checkpoint(
    lease_id: str, work_id: str, service: Running, _: WorkerKey, token: Token
) -> FileResponse:
    """The checkpoint of a trial, for the holder of its lease."""
    with service.database.write() as session:
        sha256 = held_checkpoint(session, lease_id, token, work_id)
    return blob_response(
        service.checkpoints, sha256, "application/octet-stream", f"checkpoint-{work_id}.safetensors"
    )


@router.post("/{lease_id}/work/{work_id}/report", response_model=ReportReply)
async def report(
    lease_id: str, work_id: str, body: Report, service: Running, _: WorkerKey, token: Token
) -> Response:
    """Say what came of a piece of work; the same report again gets the same reply."""
    reply = await service.reports.ask(reports.Sent(lease_id, token, work_id, body))
    service.changed()
    return json_response(reply)


@router.post("/{lease_id}/release", status_code=status.HTTP_204_NO_CONTENT)
def release(lease_id: str, service: Running, _: WorkerKey, token: Token) -> None:
    """Hand back what is not reported; it waits for another worker, and no attempt is counted."""
    _release(service, lease_id, token, put_back.STOPPED)
    service.changed()


def _release(service: Service, lease_id: str, token: str, why: str) -> None:
    with service.database.write() as session:
        put_back.release_lease(session, lease_id, token, why)


def _heartbeat(service: Service, lease_id: str, token: str, beat: Heartbeat) -> HeartbeatReply:
    with service.database.write() as session:
        return heartbeats.heartbeat(session, lease_id, token, beat, service.settings)


def _note_upload(service: Service, lease_id: str, token: str, work_id: str, blob: Blob) -> None:
    with service.database.write() as session:
        reports.note_upload(session, lease_id, token, work_id, blob)


def _note_checkpoint(
    service: Service, lease_id: str, token: str, work_id: str, checkpoint: Checkpoint
) -> None:
    with service.database.write() as session:
        former = note_checkpoint(session, lease_id, token, work_id, checkpoint)
    if former is not None:
        service.checkpoints.remove(former)  # else those of an hour would fill the disk
