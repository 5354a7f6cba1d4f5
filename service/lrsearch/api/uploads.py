"""Uploads: bodies that are streamed to the blob store, with limits of their own."""

from fastapi import Request

from lrsearch.access.limits import Room
from lrsearch.api.service import Service
from lrsearch.errors import LRSearchError, TooLargeError, invalid_field
from lrsearch.store import Blob, BlobStore, upload_too_large


async def receive_upload(
    request: Request,
    service: Service,
    what: str,
    *,
    store: BlobStore | None = None,
    room: Room | None = None,
) -> Blob:
    """Store the request's body.

    Args:
        request: has it.
        service: takes it.
        what: it should be, for the error of an empty one.
        store: for it; by default the service's.
        room: that its owner has left.

    Raises:
        TooLargeError: it is, or says that it is, larger than the settings allow; nothing is kept.
        LimitError: likewise than the room; nothing is kept.
        InvalidError: it is empty.
        ClientDisconnect: it was cut off; nothing is kept.
    """
    most = service.settings.max_upload_bytes
    refusal: LRSearchError = upload_too_large(most)
    if room is not None and room.left_bytes < most:
        most, refusal = room.left_bytes, room.refusal()
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise refusal  # before the client has sent it all for nothing
    try:
        blob = await (store or service.store).receive(request.stream(), most)
    except TooLargeError as error:
        raise refusal from error
    if blob.size_bytes == 0:
        raise invalid_field(
            "body", f"is empty; send {what} as the request's body (curl --data-binary @FILE)"
        )
    return blob
