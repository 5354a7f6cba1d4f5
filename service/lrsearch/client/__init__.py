"""The Python client of the service."""

from lrsearch.client.client import FINISHED_JOBS, Client
from lrsearch.client.errors import (
    ChecksumError,
    ClientError,
    ProblemError,
    RejectedError,
    ServiceUnreachableError,
    WaitTimeoutError,
)
from lrsearch.client.webhooks import SignatureError, read_webhook

__all__ = [
    "FINISHED_JOBS",
    "ChecksumError",
    "Client",
    "ClientError",
    "ProblemError",
    "RejectedError",
    "ServiceUnreachableError",
    "SignatureError",
    "WaitTimeoutError",
    "read_webhook",
]
