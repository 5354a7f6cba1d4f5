"""API keys: made, checked, listed and revoked; only their hashes are kept."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.db.engine import database_now
from lrsearch.db.tables import ApiKeyRow
from lrsearch.errors import NotFoundError, UnauthenticatedError, invalid_field
from lrsearch.ids import new_id

Scope = Literal["read", "submit", "worker", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

PREFIX = "lrs_"
"""Begins every secret, so that leaked ones can be found."""


@dataclass(frozen=True)
class Principal:
    """Who makes a request, and what they may do."""

    key_id: str | None
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the scope is granted; `admin` may do everything."""
        return scope in self.scopes or "admin" in self.scopes


NOBODY = Principal(key_id=None, scopes=frozenset(SCOPES))
"""Where no keys are demanded: on loopback, anybody on the machine."""


def create_key(
    session: Session, name: str, scopes: list[str], expires_in: timedelta | None = None
) -> str:
    """A new key's secret; it cannot be had again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    add_key(session, name, scopes, secret, expires_in)
    return secret


def add_key(
    session: Session, name: str, scopes: list[str], secret: str, expires_in: timedelta | None = None
) -> None:
    """Admit a secret that was made elsewhere; does nothing where it is known already."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise invalid_field("scopes", f"choose one or more of {', '.join(SCOPES)}", scopes)
    if session.scalar(select(ApiKeyRow).where(ApiKeyRow.secret_sha256 == _digest(secret))):
        return
    now = database_now(session)
    session.add(
        ApiKeyRow(
            id=new_id(),
            name=name,
            secret_sha256=_digest(secret),
            scopes=sorted(set(scopes)),
            created_at=now,
            expires_at=now + expires_in if expires_in else None,
        )
    )


def authenticate(session: Session, secret: str) -> Principal:
    """Whose key it is; raises `UnauthenticatedError` where it is not valid now."""
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.secret_sha256 == _digest(secret)))
    if row is None or row.revoked_at or _expired(row, database_now(session)):
        raise UnauthenticatedError(
            detail="The API key is unknown, expired or revoked.",
            remedy="Ask an administrator for a new one: lrsearch keys create.",
        )
    return Principal(key_id=row.id, scopes=frozenset(row.scopes))


def list_keys(session: Session) -> list[ApiKeyRow]:
    """All keys, the newest first."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id.desc())))


def revoke_key(session: Session, key_id: str) -> None:
    """End a key; raises `NotFoundError`."""
    row = session.get(ApiKeyRow, key_id)
    if row is None:
        raise NotFoundError(
            detail=f"There is no API key {key_id}.", remedy="See: lrsearch keys list."
        )
    row.revoked_at = row.revoked_at or database_now(session)


def _expired(row: ApiKeyRow, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


def _digest(secret: str) -> str:
    # The secrets are random, 256 bits: a plain hash cannot be reversed by guessing.
    return sha256(secret.encode()).hexdigest()
