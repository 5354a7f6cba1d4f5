"""What is no longer wanted: rows older than the settings keep them, and files that nothing names.

Rows go first, so that the files that only they named go in the same pass. `dry_run` does all of it
in a transaction that is rolled back, and counts the files.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, delete, exists, select, union, update
from sqlalchemy.orm import Session

from lrsearch.access.principals import NOBODY
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import (
    DataSetRow,
    JobRow,
    LeaseRow,
    SourceModelRow,
    TrialLogRow,
    TrialRow,
    WorkerRow,
    WorkRow,
)
from lrsearch.jobs.control import delete_job
from lrsearch.leasing.checkpoints import checkpoint_store
from lrsearch.settings import Settings
from lrsearch.store import BlobStore, Sweep

CHECKPOINT_GRACE_SECONDS: Final = 120.0
"""A checkpoint is linked by the request that brings it, and large; losing one costs a restart."""

BLOBS: Final = "files and unfinished uploads"
CHECKPOINTS: Final = "checkpoints"

MOST_ROWS: Final = 10_000
"""Of a kind that go in one pass, so that no transaction is long; the next pass takes more."""


class Garbage(NamedTuple):
    """What was found of one kind."""

    kind: str
    number: int
    bytes: int | None = None
    """Of files."""
    kept_bytes: int | None = None


class _DryRunError(Exception):
    """Rolls a transaction back."""


def collect_garbage(
    database: Database, settings: Settings, *, dry_run: bool = False
) -> list[Garbage]:
    """Remove what is no longer wanted, or only count it.

    Jobs that have been kept for long enough are deleted as a user would delete them; their rows and
    studies go with the next `purge_deleted`.
    """
    found: list[Garbage] = []
    blobs: set[str] = set()
    checkpoints: set[str] = set()
    try:
        with database.write() as session:
            found += _collect_rows(session, settings)
            session.flush()
            blobs, checkpoints = blobs_in_use(session), checkpoints_in_use(session)
            if dry_run:
                raise _DryRunError
    except _DryRunError:
        pass
    grace_seconds = settings.blob_grace_seconds
    swept = BlobStore(settings.data_dir).collect(blobs, grace_seconds, dry_run=dry_run)
    found.append(_files(BLOBS, swept))
    grace_seconds = min(grace_seconds, CHECKPOINT_GRACE_SECONDS)
    store = checkpoint_store(settings.data_dir)
    swept = store.collect(checkpoints, grace_seconds, dry_run=dry_run)
    found.append(_files(CHECKPOINTS, swept))
    return found


def blobs_in_use(session: Session) -> set[str]:
    """SHA-256 of every blob that some row names, those of deleted jobs left out."""
    kept = JobRow.deleted_at.is_(None)
    named = union(
        select(DataSetRow.upload_sha256),
        select(DataSetRow.content_sha256),
        select(SourceModelRow.weights_sha256),
        select(TrialRow.weights_sha256).join(JobRow, JobRow.id == TrialRow.job_id).where(kept),
        select(WorkRow.upload_sha256).where(WorkRow.state == "leased"),
    )
    return {sha256 for sha256 in session.scalars(named) if sha256 is not None}


def checkpoints_in_use(session: Session) -> set[str]:
    """SHA-256 of every checkpoint that a trial may go on from."""
    linked = select(TrialRow.checkpoint_sha256).where(TrialRow.checkpoint_sha256.is_not(None))
    return {sha256 for sha256 in session.scalars(linked) if sha256 is not None}


def _collect_rows(session: Session, settings: Settings) -> list[Garbage]:
    now = database_now(session)
    kinds: list[tuple[str, float | None, Callable[[Session, datetime], int]]] = [
        ("finished jobs", settings.keep_jobs_days, _jobs),
        ("data sets without a job", settings.keep_data_sets_days, _data_sets),
        ("logs of trials", settings.keep_logs_days, _logs),
        ("leases that are over", settings.keep_leases_days, _leases),
        ("workers that are gone", settings.keep_leases_days, _workers),
    ]
    return [
        Garbage(kind, collect(session, now - timedelta(days=days)))
        for kind, days, collect in kinds
        if days is not None
    ]


def _jobs(session: Session, before: datetime) -> int:
    ids = session.scalars(
        select(JobRow.id)
        .where(
            JobRow.finished_at < before,
            JobRow.deleted_at.is_(None),
            JobRow.webhook_next_at.is_(None),  # whoever is to be told is told first
        )
        .order_by(JobRow.id)
        .limit(MOST_ROWS)
    ).all()
    for job_id in ids:
        delete_job(session, job_id, NOBODY)
    return len(ids)


def _data_sets(session: Session, before: datetime) -> int:
    used = exists().where(JobRow.data_set_id == DataSetRow.id)
    return _delete(
        session,
        DataSetRow,
        DataSetRow.created_at < before,
        DataSetRow.state != "validating",
        ~used,
    )


def _logs(session: Session, before: datetime) -> int:
    ids = session.execute(
        select(TrialLogRow.trial_id, TrialLogRow.lease_id)
        .where(TrialLogRow.began_at < before)
        .limit(MOST_ROWS)
    ).all()
    for trial_id, lease_id in ids:
        session.execute(
            delete(TrialLogRow).where(
                TrialLogRow.trial_id == trial_id, TrialLogRow.lease_id == lease_id
            )
        )
    return len(ids)


def _leases(session: Session, before: datetime) -> int:
    ids = session.scalars(
        select(LeaseRow.id)
        .where(LeaseRow.state != "active", LeaseRow.created_at < before)
        .order_by(LeaseRow.id)
        .limit(MOST_ROWS)
    ).all()
    for some in _batches(list(ids)):
        session.execute(update(WorkRow).where(WorkRow.lease_id.in_(some)).values(lease_id=None))
        session.execute(delete(LeaseRow).where(LeaseRow.id.in_(some)))
    return len(ids)


def _workers(session: Session, before: datetime) -> int:
    leased = exists().where(LeaseRow.worker_id == WorkerRow.id)
    return _delete(session, WorkerRow, WorkerRow.seen_at < before, ~leased)


def _delete(
    session: Session,
    table: type[DataSetRow] | type[WorkerRow],
    *where: ColumnElement[bool],
) -> int:
    """Delete rows of a table; returns how many."""
    ids = session.scalars(select(table.id).where(*where).limit(MOST_ROWS)).all()
    for some in _batches(list(ids)):
        session.execute(delete(table).where(table.id.in_(some)))
    return len(ids)


def _batches(ids: list[str], size: int = 500) -> list[list[str]]:
    return [ids[i : i + size] for i in range(0, len(ids), size)]


def _files(kind: str, sweep: Sweep) -> Garbage:
    return Garbage(kind, sweep.files, sweep.bytes, sweep.kept_bytes)
