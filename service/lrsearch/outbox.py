"""The outbox: what Optuna's ledger has still to be told.

Written in the transaction that changes a trial or a job, drained afterwards by one process at a
time for each job; the ledger being slow or away never holds up a worker. It is told how things are
now: one telling does for all entries of a trial that waited by then.
"""

import structlog
from sqlalchemy import ColumnElement, delete, func, select, update

from lrsearch.contract.results import Result
from lrsearch.data_sets import data_set_as_contract
from lrsearch.db.engine import Database
from lrsearch.db.tables import DataSetRow, JobRow, OutboxRow, TrialRow
from lrsearch.jobs import job_as_contract
from lrsearch.search.ledger import JobView, Ledger
from lrsearch.trials import trials_as_contract, trials_of

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 10
"""Failures after which an entry is set aside, so that it does not hold up the rest of its job."""


def drain_outbox(database: Database, ledger: Ledger) -> int:
    """Tell the ledger all that waits; returns how many entries that were."""
    with database.read() as session:
        jobs = session.scalars(
            select(OutboxRow.job_id)
            .join(JobRow, JobRow.id == OutboxRow.job_id)
            .where(OutboxRow.attempts < MAX_ATTEMPTS, JobRow.deleted_at.is_(None))
            .distinct()
        ).all()
    return sum(_drain_job(database, ledger, job_id) for job_id in jobs)


def retry_set_aside(database: Database) -> None:
    """Have what was set aside told again: a ledger that was away may be back."""
    with database.write() as session:
        session.execute(
            update(OutboxRow).where(OutboxRow.attempts >= MAX_ATTEMPTS).values(attempts=0)
        )


def _drain_job(database: Database, ledger: Ledger, job_id: str) -> int:
    told = 0
    with database.alone(f"outbox:{job_id}") as mine:
        while mine and (entry := _next_entry(database, job_id)) is not None:
            same = _same_as(entry, _latest_id(database, entry))
            try:
                _tell(database, ledger, entry)
            except Exception:
                log.exception("the ledger could not be told", job=job_id, attempts=entry.attempts)
                with database.write() as session:
                    session.execute(
                        update(OutboxRow)
                        .where(OutboxRow.id == entry.id)
                        .values(attempts=OutboxRow.attempts + 1)
                    )
                return told
            with database.write() as session:
                gone = session.scalars(delete(OutboxRow).where(*same).returning(OutboxRow.id))
                told += len(gone.all())
    return told


def _next_entry(database: Database, job_id: str) -> OutboxRow | None:
    with database.read() as session:
        return session.scalar(
            select(OutboxRow)
            .where(OutboxRow.job_id == job_id, OutboxRow.attempts < MAX_ATTEMPTS)
            .order_by(OutboxRow.id)
            .limit(1)
        )


def _latest_id(database: Database, entry: OutboxRow) -> int:
    """Of the entries of the same trial: what they tell of is committed already."""
    with database.read() as session:
        latest = session.scalar(select(func.max(OutboxRow.id)).where(*_same_as(entry)))
    return latest or entry.id


def _same_as(entry: OutboxRow, latest_id: int | None = None) -> list[ColumnElement[bool]]:
    """Whether an entry tells of the same trial (or job), and is none behind the latest."""
    # A job's entries are written under its lock: ids are in the order of commit.
    same = [OutboxRow.job_id == entry.job_id, OutboxRow.trial_id == entry.trial_id]
    return same if latest_id is None else [*same, OutboxRow.id <= latest_id]


def _tell(database: Database, ledger: Ledger, entry: OutboxRow) -> None:
    if entry.trial_id is None:
        ledger.describe(_view(database, entry.job_id))
        return
    with database.read() as session:
        job = job_as_contract(session, session.get_one(JobRow, entry.job_id))
        row = session.get_one(TrialRow, entry.trial_id)
        trial = trials_as_contract(session, [row])[0]
    ledger_id = ledger.mirror_trial(job, trial, row.ledger_id)
    if ledger_id != row.ledger_id:
        with database.write() as session:
            session.execute(
                update(TrialRow).where(TrialRow.id == row.id).values(ledger_id=ledger_id)
            )


def _view(database: Database, job_id: str) -> JobView:
    with database.read() as session:
        row = session.get_one(JobRow, job_id)
        return JobView(
            job=job_as_contract(session, row),
            data_set=data_set_as_contract(session.get_one(DataSetRow, row.data_set_id)),
            trials=trials_as_contract(session, trials_of(session, row)),
            result=Result.model_validate(row.result) if row.result else None,
        )
