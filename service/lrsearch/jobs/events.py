"""The events of a job: written with what they tell of, read as a stream that can be resumed."""

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.contract.events import EpochFinished, Event, EventBody
from lrsearch.db.appending import append_row
from lrsearch.db.engine import after_commit, database_now
from lrsearch.db.tables import EventRow, JobRow

log = structlog.get_logger(__name__)


def append_event(session: Session, job: JobRow, body: EventBody) -> None:
    """Add an event; the job's row is locked, so numbers are in the order of commit."""
    if not isinstance(body, EpochFinished):  # which the workers log
        said = body.model_dump(mode="json", exclude={"type", "probe"}, exclude_none=True)
        words = body.type.replace("_", " ")
        after_commit(session, lambda: log.info(words, **said, job=job.id))
    job.last_event += 1
    append_row(
        session,
        EventRow,
        job_id=job.id,
        number=job.last_event,
        at=database_now(session),
        body=body.model_dump(mode="json"),
    )


def events_after(session: Session, job_id: str, number: int, limit: int = 500) -> list[Event]:
    """The job's events behind number `number`, oldest first."""
    rows = session.scalars(
        select(EventRow)
        .where(EventRow.job_id == job_id, EventRow.number > number)
        .order_by(EventRow.number)
        .limit(limit)
    )
    return [Event(id=r.number, job_id=r.job_id, at=r.at, body=r.body) for r in rows]
