"""Leases that end without reports: handed back, or expired."""

from contextvars import copy_context

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.contract.events import TrialPutBack
from lrsearch.db.engine import database_now
from lrsearch.db.tables import LeaseRow, WorkerRow, WorkRow
from lrsearch.jobs.advance import go_on
from lrsearch.jobs.events import append_event
from lrsearch.jobs.trials import forget_epochs
from lrsearch.leasing.fence import Held, fenced, locked, name_in_log
from lrsearch.leasing.reports import give_up
from lrsearch.metrics import EXPIRIES, once_committed
from lrsearch.settings import Settings

STOPPED = "the worker was stopped and handed it back"
GONE = "the worker had gone when it was given out"


def release_lease(session: Session, lease_id: str, token: str, why: str = STOPPED) -> None:
    """Hand back what is not reported; the attempt is not counted."""
    held = fenced(session, lease_id, token)
    held.lease.state = "released"
    paused = held.job is not None and held.job.paused
    reason = "the job was paused" if paused else why
    for work in held.running:
        work.attempts -= 1
        _put_back(session, held, work, reason)
    if held.job is not None:
        go_on(session, held.job)


def expire_leases(session: Session, settings: Settings) -> int:
    """Put back the work of leases that were not kept alive; returns how many."""
    ids = session.scalars(
        select(LeaseRow.id)
        .where(LeaseRow.state == "active", LeaseRow.expires_at < database_now(session))
        .order_by(LeaseRow.job_id, LeaseRow.id)  # all replicas lock jobs in this order
    ).all()
    # In contexts of their own: what is said of one in the log is not said of the next.
    return sum(copy_context().run(_expire, session, lease_id, settings) for lease_id in ids)


def _expire(session: Session, lease_id: str, settings: Settings) -> bool:
    held = locked(session, [lease_id])[lease_id]
    name_in_log(held)
    lease = held.lease
    if lease.state != "active" or lease.expires_at >= database_now(session):
        return False
    lease.state = "expired"
    once_committed(session, EXPIRIES)
    worker = session.get_one(WorkerRow, lease.worker_id).name
    lost = f"worker {worker} was not heard of for {settings.lease_seconds:g} s"
    for work in held.running:
        if work.attempts < settings.max_attempts:
            reason = f"attempt {work.attempts} of {settings.max_attempts} was lost: {lost}"
            _put_back(session, held, work, reason)
        else:
            work.state = "done"
            give_up(session, held, work, f"lost {work.attempts} times; the last time {lost}")
    if held.job is not None:
        go_on(session, held.job)
    return True


def _put_back(session: Session, held: Held, work: WorkRow, reason: str) -> None:
    work.state, work.reason, work.lease_id = "waiting", reason, None
    work.waits_since = database_now(session)
    if held.job is None or work.id not in held.trials:
        return
    trial = held.trials[work.id]
    kept = trial.checkpoint_epochs or 0
    forget_epochs(session, trial, after=kept)
    trial.state = "waiting"
    append_event(
        session, held.job, TrialPutBack(trial=trial.number, reason=reason, epochs_kept=kept)
    )
