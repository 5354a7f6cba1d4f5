"""The outbox: what Optuna's ledger has still to be told.

Written in the transaction that changes a trial or a job, drained afterwards by one process at a
time for each job; the ledger being slow or away never holds up a worker. It is told how things are
now: one telling does for all entries of a trial that waited by then.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

import structlog
from sqlalchemy import delete, select, update

from lrsearch.contract.results import Result
from lrsearch.data_sets import data_set_as_contract
from lrsearch.db.engine import Database
from lrsearch.db.tables import DataSetRow, JobRow, OutboxRow, TrialRow
from lrsearch.jobs.jobs import job_as_contract
from lrsearch.jobs.trials import trials_as_contract, trials_of
from lrsearch.search.ledger import JobView, Ledger

log = structlog.get_logger(__name__)

MAX_ATTEMPTS = 10
"""Failures after which an entry is set aside, so that it does not hold up the rest of its job."""


BATCH = 200
"""Entries that are read at once."""


def drain_outbox(
    database: Database,
    ledger: Ledger,
    rest: Callable[[float], None] = lambda seconds: None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Tell the ledger all that waits.

    Args:
        database: Our own tables.
        ledger: The studies.
        rest: Called after each telling with the seconds that it took.
        stopped: Asked before each telling whether what waits is left to another time.

    Returns:
        How many entries were told.
    """
    with database.read() as session:
        jobs = session.scalars(
            select(OutboxRow.job_id)
            .join(JobRow, JobRow.id == OutboxRow.job_id)
            .where(OutboxRow.attempts < MAX_ATTEMPTS, JobRow.deleted_at.is_(None))
            .distinct()
        ).all()
    told = 0
    for job_id in jobs:
        if stopped():
            break
        told += _drain_job(database, ledger, job_id, rest, stopped)
    return told


def retry_set_aside(database: Database) -> None:
    """Have what was set aside told again: a ledger that was away may be back."""
    with database.write() as session:
        session.execute(
            update(OutboxRow).where(OutboxRow.attempts >= MAX_ATTEMPTS).values(attempts=0)
        )


def _drain_job(
    database: Database,
    ledger: Ledger,
    job_id: str,
    rest: Callable[[float], None],
    stopped: Callable[[], bool],
) -> int:
    told = 0
    with database.alone(f"outbox:{job_id}") as mine:
        while mine and (entries := _next_entries(database, job_id)):
            for about in _by_trial(entries):
                if stopped():
                    return told
                began = monotonic()
                try:
                    _tell(database, ledger, about[0])
                except Exception:
                    log.exception(
                        "the ledger could not be told", job=job_id, attempts=about[0].attempts
                    )
                    _count_failure(database, about[0])
                    return told
                _remove(database, about)
                told += len(about)
                rest(monotonic() - began)
    return told


def _next_entries(database: Database, job_id: str) -> Sequence[OutboxRow]:
    with database.read() as session:
        return session.scalars(
            select(OutboxRow)
            .where(OutboxRow.job_id == job_id, OutboxRow.attempts < MAX_ATTEMPTS)
            .order_by(OutboxRow.id)
            .limit(BATCH)
        ).all()


def _by_trial(entries: Sequence[OutboxRow]) -> Iterable[list[OutboxRow]]:
    """The entries of each trial, or of the job itself; what they tell of is committed already."""
    found: dict[str | None, list[OutboxRow]] = defaultdict(list)
    for entry in entries:
        found[entry.trial_id].append(entry)
    return found.values()


def _count_failure(database: Database, entry: OutboxRow) -> None:
    with database.write() as session:
        session.execute(
            update(OutboxRow)
            .where(OutboxRow.id == entry.id)
            .values(attempts=OutboxRow.attempts + 1)
        )


def _remove(database: Database, entries: Sequence[OutboxRow]) -> None:
    with database.write() as session:
        session.execute(delete(OutboxRow).where(OutboxRow.id.in_([entry.id for entry in entries])))


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
