"""Leases that end without reports: handed back, expired, or never heard of by their worker."""

from collections.abc import Callable, Collection, Mapping
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from lrsearch.contract.events import TrialPutBack
from lrsearch.db.engine import (
    LONGEST_WAIT_SECONDS,
    Clock,
    Database,
    database_now,
    wait_at_most,
    waited_in_vain,
)
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
UNHEARD = "the worker did not hear that it was given out"

_ACTIVE: Final = select(LeaseRow.id, LeaseRow.worker_id, LeaseRow.created_at, Clock()).where(
    LeaseRow.state == "active", LeaseRow.worker_id.in_(bindparam("worker_ids", expanding=True))
)


class Holdings(NamedTuple):
    """The leases that a worker says that it has."""

    lease_ids: Collection[str]
    said_at: float
    """In seconds of `time.monotonic`: of leases that were given out later it says nothing."""


def release_lease(session: Session, lease_id: str, token: str, why: str = STOPPED) -> None:
    """Hand back what is not reported; the attempt is not counted."""
    _release(session, fenced(session, lease_id, token), why)


def expire_leases(database: Database, settings: Settings) -> int:
    """Put back the work of leases that were not kept alive; returns how many.

    Each in a transaction of its own: one whose job somebody keeps locked is left to the next look,
    and keeps no other job locked meanwhile.
    """
    with database.read() as session:
        ids = session.scalars(
            select(LeaseRow.id)
            .where(LeaseRow.state == "active", LeaseRow.expires_at < database_now(session))
            .order_by(LeaseRow.id)
        ).all()
    return sum(_end_alone(database, each, partial(_expire, settings)) for each in ids)


def release_unheard(
    database: Database, holdings: Mapping[str, Holdings], settings: Settings
) -> int:
    """Hand back leases of whom their workers do not know; returns how many.

    One that has had a heartbeat is known to somebody, and left to expire.

    Args:
        database: Where they are.
        holdings: By the worker's id.
        settings: How long leases last.
    """
    with database.read() as session:
        session.connection()  # for which one may have to wait
        here = monotonic()
        active = session.execute(_ACTIVE, {"worker_ids": list(holdings)}).all()
    unheard = [
        lease_id
        for lease_id, worker_id, created_at, now in active
        if lease_id not in holdings[worker_id].lease_ids
        # Ages are compared, since our clock is not the database's.
        and (now - created_at).total_seconds() > here - holdings[worker_id].said_at
    ]
    return sum(_end_alone(database, each, partial(_forget, settings)) for each in unheard)


def _end_alone(database: Database, lease_id: str, end: Callable[[Session, Held], bool]) -> bool:
    """End a lease in a transaction of its own; returns whether that was done.

    In a context of its own too: what is said of it in the log is not said of the next.
    """
    return copy_context().run(_end_unless_locked, database, lease_id, end)


def _end_unless_locked(
    database: Database, lease_id: str, end: Callable[[Session, Held], bool]
) -> bool:
    try:
        with database.write() as session:
            wait_at_most(session, LONGEST_WAIT_SECONDS)
            held = locked(session, [lease_id]).get(lease_id)
            if held is None:  # it has gone with its job
                return False
            name_in_log(held)
            return held.lease.state == "active" and end(session, held)
    except OperationalError as error:
        if not waited_in_vain(error):
            raise
        return False


def _forget(settings: Settings, session: Session, held: Held) -> bool:
    lease = held.lease
    if lease.expires_at > lease.created_at + timedelta(seconds=settings.lease_seconds):
        return False  # a heartbeat has come
    _release(session, held, UNHEARD)
    return True


def _release(session: Session, held: Held, why: str) -> None:
    held.lease.state = "released"
    paused = held.job is not None and held.job.paused
    reason = "the job was paused" if paused else why
    for work in held.running:
        work.attempts -= 1
        _put_back(session, held, work, reason)
    if held.job is not None:
        go_on(session, held.job)


def _expire(settings: Settings, session: Session, held: Held) -> bool:
    lease = held.lease
    if lease.expires_at >= database_now(session):
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
