"""API keys: made, checked, listed and revoked; only their hashes are kept."""

import secrets
from datetime import timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal
from lrsearch.contract.keys import Key, KeyChange, KeyRequest, Limits, NewKey
from lrsearch.contract.pages import Page
from lrsearch.db.engine import database_now
from lrsearch.db.tables import ApiKeyRow
from lrsearch.errors import ConflictError, NotFoundError, UnauthenticatedError, invalid_field
from lrsearch.ids import new_id
from lrsearch.paging import newest_first

PREFIX: Final = "lrs_"
"""Begins every secret, so that leaked ones can be found."""

PREFIX_CHARACTERS: Final = 12
"""Of a secret, that are kept to know it by; the rest is 200 bits and more."""

SHORTEST_SECRET: Final = 32
"""Characters of one that was made elsewhere; a shorter one might be guessed from its hash."""


def create_key(session: Session, request: KeyRequest) -> NewKey:
    """A new key, with its secret, which cannot be had again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return NewKey(key=_as_contract(_add(session, request, secret)), secret=secret)


def admit_secret(session: Session, request: KeyRequest, secret: str) -> None:
    """Admit a secret that was made elsewhere; does nothing where it is known already.

    Raises:
        InvalidError: it is too short.
    """
    if len(secret) < SHORTEST_SECRET:
        raise invalid_field(
            "secret", f"must have {SHORTEST_SECRET} characters or more, drawn at random"
        )
    if not session.scalar(select(exists().where(ApiKeyRow.secret_sha256 == _digest(secret)))):
        _add(session, request, secret)


def authenticate(session: Session, secret: str) -> Principal:
    """Whose key it is, with the limits as they stand on the key.

    Raises:
        UnauthenticatedError: it is unknown, expired or revoked.
    """
    row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.secret_sha256 == _digest(secret)))
    if row is None or not _is_good(session, row):
        raise UnauthenticatedError(
            detail="The API key is unknown, expired or revoked.",
            remedy="Ask an administrator for a new one: lrsearch keys create.",
        )
    return Principal(
        key_id=row.id,
        owner=row.owner,
        scopes=frozenset(row.scopes),
        limits=Limits.model_validate(row.limits),
        sees_everything="admin" in row.scopes,
    )


def is_good(session: Session, principal: Principal) -> bool:
    """Whether the principal's key has not expired or been revoked meanwhile."""
    if principal.key_id is None:
        return True
    row = session.get(ApiKeyRow, principal.key_id)
    return row is not None and _is_good(session, row)


def note_use(session: Session, key_id: str) -> None:
    """Remember that a key was used now."""
    session.execute(
        update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(last_used_at=database_now(session))
    )


def any_key(session: Session) -> bool:
    """Whether there is a key that is neither expired nor revoked."""
    unexpired = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > database_now(session))
    return bool(session.scalar(select(exists().where(ApiKeyRow.revoked_at.is_(None), unexpired))))


def list_keys(session: Session, cursor: str | None, limit: int) -> Page[Key]:
    """All keys, the newest first."""
    rows, next_cursor = newest_first(session, select(ApiKeyRow), ApiKeyRow.id, cursor, limit)
    return Page(items=[_as_contract(row) for row in rows], next_cursor=next_cursor)


def revoke_key(session: Session, reference: str) -> Key:
    """End a key, by its id or the prefix of its secret; one that is revoked stays so.

    Raises:
        NotFoundError: there is no such key, code `key_unknown`.
        ConflictError: several have the prefix, code `key_ambiguous`.
    """
    row = _find(session, reference)
    row.revoked_at = row.revoked_at or database_now(session)
    return _as_contract(row)


def change_key(session: Session, reference: str, change: KeyChange) -> Key:
    """Give a key, named by its id or the prefix of its secret, other limits.

    Raises:
        NotFoundError: there is no such key, code `key_unknown`.
        ConflictError: several have the prefix, code `key_ambiguous`.
    """
    row = _find(session, reference)
    given = change.limits.model_dump(mode="json", exclude_unset=True)
    limits = row.limits | given
    row.limits = {name: value for name, value in limits.items() if value is not None}
    return _as_contract(row)


def _find(session: Session, reference: str) -> ApiKeyRow:
    rows = session.scalars(
        select(ApiKeyRow).where(or_(ApiKeyRow.id == reference, ApiKeyRow.prefix == reference))
    ).all()
    if not rows:
        raise NotFoundError(
            detail=f"There is no API key {reference}.",
            remedy="Give its id or the prefix of its secret; see: lrsearch keys list.",
            code="key_unknown",
        )
    if len(rows) > 1:
        raise ConflictError(
            detail=f"{len(rows)} API keys begin with {reference}.",
            remedy=f"Give the id: {', '.join(row.id for row in rows)}.",
            code="key_ambiguous",
        )
    return rows[0]


def _add(session: Session, request: KeyRequest, secret: str) -> ApiKeyRow:
    now, seconds = database_now(session), request.expires_in_seconds
    row = ApiKeyRow(
        id=new_id(),
        name=request.name,
        owner=request.owner or request.name,
        prefix=secret[:PREFIX_CHARACTERS],
        secret_sha256=_digest(secret),
        scopes=sorted(set(request.scopes)),
        limits=request.limits.model_dump(mode="json", exclude_none=True),
        created_at=now,
        expires_at=None if seconds is None else now + timedelta(seconds=seconds),
    )
    session.add(row)
    return row


def _is_good(session: Session, row: ApiKeyRow) -> bool:
    if row.revoked_at is not None:
        return False
    return row.expires_at is None or row.expires_at > database_now(session)


def _as_contract(row: ApiKeyRow) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        owner=row.owner,
        prefix=row.prefix,
        scopes=row.scopes,
        limits=Limits.model_validate(row.limits),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )


def _digest(secret: str) -> str:
    # The secrets are random, 256 bits: a plain hash cannot be reversed by guessing.
    return sha256(secret.encode()).hexdigest()
