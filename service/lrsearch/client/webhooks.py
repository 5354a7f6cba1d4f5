"""For receivers of webhooks: whether a request is from the service, and what it says."""

import hmac
import time

from pydantic import ValidationError

from lrsearch.client.errors import ClientError
from lrsearch.contract.notifications import Notification
from lrsearch.contract.webhooks import signature_of


class SignatureError(ClientError):
    """A request that the service did not send, or that it sent long ago."""


def read_webhook(
    body: bytes, signature: str, secret: str, tolerance_seconds: float = 300.0
) -> Notification:
    """What a request says.

    Args:
        body: Of the request, as it came.
        signature: Its header `Lrsearch-Signature`.
        secret: The webhook's.
        tolerance_seconds: How far the two machines' clocks, and the time on the way, may be apart.

    Raises:
        SignatureError: It is not to be trusted.
    """
    stamp = signature.partition(",")[0].removeprefix("t=")
    if not stamp.isascii() or not stamp.isdecimal():
        raise SignatureError(f"The signature {signature[:100]!r} is not t=SECONDS,v1=HEX.")
    expected = signature_of(secret, int(stamp), body)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise SignatureError("The signature is not of this body with this secret.")
    if abs(time.time() - int(stamp)) > tolerance_seconds:
        raise SignatureError(f"The request was signed more than {tolerance_seconds:g} s ago.")
    try:
        return Notification.model_validate_json(body)
    except ValidationError as error:
        raise SignatureError(f"The body is not a notification: {error}") from error
