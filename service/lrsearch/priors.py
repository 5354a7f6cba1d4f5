"""The prior that an installation uses: its own, where it has fitted one, else the shipped one.

The installation's own is in the database, so that all replicas use the same one, from the moment
that the transaction is committed that keeps it.
"""

from datetime import datetime
from functools import cache
from typing import NamedTuple

import structlog
from safetensors import SafetensorError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lrsearch.db.engine import database_now
from lrsearch.db.tables import PriorRow
from lrsearch.ids import new_id
from lrsearch.search.prior.prior import Prior

log = structlog.get_logger(__name__)


class OwnPrior(NamedTuple):
    """The installation's own prior, without its content."""

    id: str
    version: str
    fitted_at: datetime


def prior_in_force(session: Session) -> Prior:
    """The prior that recommendations are to be made by.

    Whether it is still the one of the last call costs a look at an index; only another one is
    read. One that cannot be read, as of another version of lrsearch, is logged once, and the
    shipped one used.
    """
    global _last_read
    own = own_prior(session)
    if own is None:
        return shipped_prior()
    last = _last_read
    if last is None or last.id != own.id:
        last = _last_read = _read(session, own)
    return last.prior or shipped_prior()


@cache
def shipped_prior() -> Prior:
    """The prior that comes with lrsearch, read once."""
    return Prior.read()


def own_prior(session: Session) -> OwnPrior | None:
    """The installation's own prior, if it has one."""
    newest = (
        select(PriorRow.id, PriorRow.version, PriorRow.fitted_at)
        .order_by(PriorRow.id.desc())
        .limit(1)
    )
    found = session.execute(newest).one_or_none()
    return None if found is None else OwnPrior(*found)


def keep_prior(session: Session, prior: Prior) -> None:
    """Has the service use this prior as soon as the transaction is committed."""
    reset_prior(session)
    session.add(
        PriorRow(
            id=new_id(),
            version=prior.version,
            fitted_at=database_now(session),
            content=prior.to_bytes(),
        )
    )


def reset_prior(session: Session) -> bool:
    """Has the service use the shipped prior again; whether it had another."""
    return bool(session.execute(delete(PriorRow).returning(PriorRow.id)).all())


class _Read(NamedTuple):
    """An own prior that was read."""

    id: str
    prior: Prior | None
    """None where it cannot be read."""


_last_read: _Read | None = None


def _read(session: Session, own: OwnPrior) -> _Read:
    content = session.scalar(select(PriorRow.content).where(PriorRow.id == own.id))
    if content is None:  # given up a moment ago
        return _Read(own.id, None)
    try:
        return _Read(own.id, Prior.from_bytes(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        log.warning(
            "the installation's own prior cannot be read", version=own.version, reason=str(error)
        )
        return _Read(own.id, None)
