"""The fence: who speaks for a lease, and whether it is still theirs.

Every message of a worker is checked against the lease's token and state under the lock of the job:
a worker whose lease is gone changes nothing, however late it speaks.
"""

import secrets
from hashlib import sha256

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.db.tables import JobRow, LeaseRow, WorkRow
from lrsearch.errors import ConflictError, NotFoundError, lease_lost
from lrsearch.jobs import lock_job


def fenced(
    session: Session, lease_id: str, token: str, also: tuple[str, ...] = ()
) -> tuple[LeaseRow, JobRow | None]:
    """The lease if it is the sender's, active or in one of the other states, and its locked job.

    Raises:
        ConflictError: it is not the sender's, or not any more; code `lease_lost`.
        NotFoundError: there is no such lease, code `lease_unknown`.
    """
    lease, job = locked(session, lease_id)
    if not secrets.compare_digest(lease.token_sha256, sha256(token.encode()).hexdigest()):
        raise lease_lost("the token is not this lease's")
    if lease.state != "active" and lease.state not in also:
        raise lease_lost(
            {
                "expired": "no heartbeat came in time",
                "released": "it was handed back",
                "cancelled": f"the job is {job.state if job else 'over'}",
                "done": "all its work is reported",
            }[lease.state]
        )
    return lease, job


def locked(session: Session, lease_id: str) -> tuple[LeaseRow, JobRow | None]:
    """The lease and its job, locked until the transaction ends; raises `NotFoundError`."""
    lease = session.get(LeaseRow, lease_id)
    if lease is None:
        raise NotFoundError(detail=f"There is no lease {lease_id}.", code="lease_unknown")
    names = {"lease": lease.id} | ({"job": lease.job_id} if lease.job_id else {})
    structlog.contextvars.bind_contextvars(**names)  # every line from here on says so
    job = lock_job(session, lease.job_id) if lease.job_id else None
    session.refresh(lease, with_for_update=True)
    return lease, job


def works_of(session: Session, lease: LeaseRow) -> list[WorkRow]:
    """All the work of a lease."""
    return list(
        session.scalars(select(WorkRow).where(WorkRow.lease_id == lease.id).order_by(WorkRow.id))
    )


def work_of(session: Session, lease: LeaseRow, work_id: str) -> WorkRow:
    """One piece of a lease's work; raises `NotFoundError`, code `work_unknown`."""
    work = session.get(WorkRow, work_id, populate_existing=True)
    if work is None or work.lease_id != lease.id:
        raise NotFoundError(
            detail=f"Lease {lease.id} holds no work {work_id}.", code="work_unknown"
        )
    return work


def running_trial(session: Session, lease: LeaseRow, work_id: str) -> WorkRow:
    """A trial of a lease that is not reported yet, as work.

    Raises:
        NotFoundError: as `work_of`.
        ConflictError: it is another kind of work or reported already, code `report_conflict`.
    """
    work = work_of(session, lease, work_id)
    if work.state != "leased" or work.kind != "trial":
        raise ConflictError(
            detail=f"Work {work_id} takes no weights now.",
            remedy="Upload a trial's weights before its report.",
            code="report_conflict",
        )
    return work
