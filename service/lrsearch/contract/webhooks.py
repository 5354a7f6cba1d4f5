"""Webhooks: an address that is told of a job's end, and how it knows that we have told it.

The request is a POST whose body is a `contract.notifications.Notification` as JSON. Its header
`Lrsearch-Signature` reads `t=1700000000,v1=HEX`, where HEX is the HMAC-SHA256 of `1700000000.BODY`
with the webhook's secret as the key. A receiver computes the same, compares in constant time, and
refuses what is older than some minutes. It may be told more than once: `Lrsearch-Delivery` is then
the same. An answer of 2xx ends it; anything else is tried again for about a day.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lrsearch.contract.base import Contract

SIGNATURE_HEADER = "Lrsearch-Signature"
DELIVERY_HEADER = "Lrsearch-Delivery"


class Webhook(Contract):
    """Who is to be told of a job's end."""

    url: str = Field(max_length=2000, description="`https://…` (or `http://…`), without a login.")
    secret: str | None = Field(
        default=None,
        min_length=16,
        max_length=200,
        repr=False,
        description="Signs what is sent. It must be given, and is never shown again.",
    )

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError(f"{url!r} must be https://… or http://… with a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must not hold a login; what is sent is signed instead")
        if not url.isascii() or any(character.isspace() for character in url):
            raise ValueError(f"{url!r} must be ASCII without spaces; escape other characters")
        return url


class Delivery(Contract):
    """How far a job's webhook is."""

    state: Literal["pending", "delivered", "failed"]
    attempts: int = Field(ge=0, description="Requests that were sent.")
    next_at: datetime | None = Field(description="When it is tried next, if it is.")
    error: str | None = Field(description="What became of the last one, if it was in vain.")


def signature_of(secret: str, timestamp: int, body: bytes) -> str:
    """The value of `Lrsearch-Signature`.

    Args:
        secret: The webhook's.
        timestamp: When it is sent, in seconds since 1970.
        body: As it is sent.
    """
    message = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
