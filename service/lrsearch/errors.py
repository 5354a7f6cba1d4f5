"""Errors that a user can cause or must know about; the API gives each a status and a problem."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class FieldError:
    """What is wrong with one field."""

    field: str
    message: str
    value: Any = None


@dataclass
class LRSearchError(Exception):
    """Base of the tree: `detail`: what happened; `remedy`: what to do; `code`: for programs."""

    detail: str
    remedy: str | None = None
    code: str = "error"
    errors: list[FieldError] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.detail} {self.remedy}" if self.remedy else self.detail


@dataclass
class InvalidError(LRSearchError):
    """The request cannot be right, whatever the state of the service."""

    code: str = "invalid"


@dataclass
class NotFoundError(LRSearchError):
    """There is no such thing."""

    code: str = "not_found"


@dataclass
class ConflictError(LRSearchError):
    """The request is well formed but does not fit the present state."""

    code: str = "conflict"


@dataclass
class TooLargeError(LRSearchError):
    """More bytes than the service takes."""

    code: str = "too_large"


@dataclass
class UnauthenticatedError(LRSearchError):
    """No key, or one that is unknown, expired or revoked."""

    code: str = "unauthenticated"


@dataclass
class ForbiddenError(LRSearchError):
    """The key is good, but not for this."""

    code: str = "forbidden"


@dataclass
class LimitError(LRSearchError):
    """More than the key allows; `retry_after_seconds`: when it may be otherwise."""

    code: str = "limit_reached"
    retry_after_seconds: float = 60.0


@dataclass
class UnavailableError(LRSearchError):
    """The service cannot serve this now."""

    code: str = "unavailable"


def invalid_field(
    name: str, message: str, value: Any = None, *, code: str = "invalid"
) -> InvalidError:
    """An `InvalidError` about one field."""
    return InvalidError(
        detail=f"{name}: {message}", code=code, errors=[FieldError(name, message, value)]
    )


def lease_lost(reason: str) -> ConflictError:
    """The lease is no longer the worker's; nothing that it sends counts."""
    return ConflictError(
        detail=f"The lease is lost: {reason}.",
        remedy="Drop the work and claim again.",
        code="lease_lost",
    )
