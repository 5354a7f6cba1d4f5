"""Registered workers."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from lrsearch.contract.pages import Page
from lrsearch.contract.workers import Device, Worker, WorkerRegistration
from lrsearch.db.engine import after_commit, database_now
from lrsearch.db.tables import LeaseRow, WorkerRow
from lrsearch.errors import NotFoundError
from lrsearch.ids import new_id
from lrsearch.paging import newest_first

SEEN_RESOLUTION = timedelta(seconds=10.0)
"""To which it is written down when a worker was seen: each of its messages would be a write."""

MOST_REMEMBERED = 10_000
"""Workers of whom this replica remembers when it last wrote that down."""

_seen: dict[str, datetime] = {}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def register_worker(session: Session, registration: WorkerRegistration) -> Worker:
    """Note a worker that starts."""
    now = database_now(session)
    row = WorkerRow(
        id=new_id(),
        name=registration.name,
        device=registration.device.model_dump(mode="json"),
        versions=registration.versions,
        registered_at=now,
        seen_at=now,
    )
    session.add(row)
    return _worker_of(row, leases=0)


def find_worker(session: Session, worker_id: str) -> WorkerRow:
    """The row of a worker; raises `NotFoundError`, code `worker_unknown`."""
    row = session.get(WorkerRow, worker_id)
    if row is None:
        raise worker_unknown(worker_id)
    return row


def worker_unknown(worker_id: str) -> NotFoundError:
    """The error that has a worker register anew."""
    return NotFoundError(
        detail=f"There is no worker {worker_id}.",
        remedy="Register again: POST /v1/workers.",
        code="worker_unknown",
    )


def note_seen(session: Session, worker_id: str, now: datetime) -> None:
    """Write down that a worker has spoken, unless that was done a moment ago."""
    if now - _seen.get(worker_id, _LONG_AGO) < SEEN_RESOLUTION:
        return
    session.execute(update(WorkerRow).where(WorkerRow.id == worker_id).values(seen_at=now))
    after_commit(session, lambda: _remember(worker_id, now))


def _remember(worker_id: str, now: datetime) -> None:
    if len(_seen) > MOST_REMEMBERED:
        _seen.clear()
    _seen[worker_id] = now


def list_workers(session: Session, cursor: str | None, limit: int) -> Page[Worker]:
    """Workers, the newest first."""
    rows, next_cursor = newest_first(session, select(WorkerRow), WorkerRow.id, cursor, limit)
    held = dict(
        session.execute(
            select(LeaseRow.worker_id, func.count())
            .where(LeaseRow.state == "active", LeaseRow.worker_id.in_([row.id for row in rows]))
            .group_by(LeaseRow.worker_id)
        ).all()
    )
    return Page(
        items=[_worker_of(row, held.get(row.id, 0)) for row in rows], next_cursor=next_cursor
    )


def _worker_of(row: WorkerRow, leases: int) -> Worker:
    return Worker(
        id=row.id,
        name=row.name,
        device=Device.model_validate(row.device),
        versions=row.versions,
        registered_at=row.registered_at,
        seen_at=row.seen_at,
        leases=leases,
    )
