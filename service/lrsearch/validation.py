"""Validation: data sets become ready in the background, and the jobs that wait for them begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

import structlog
from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from lrsearch.db.engine import AWAY, HUNG_SECONDS, Database, database_now, wait_at_most
from lrsearch.db.tables import DataSetRow, JobRow, TrialRow
from lrsearch.errors import InvalidError
from lrsearch.intake.archives import archive_members
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.folders import folder_members
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.members import Members
from lrsearch.intake.validate import build_data_set
from lrsearch.jobs.beginnings import begin_job, fit_job
from lrsearch.jobs.endings import end_job
from lrsearch.jobs.jobs import lock_job
from lrsearch.settings import Settings
from lrsearch.store import BlobStore

log = structlog.get_logger(__name__)

VALIDATOR_SECONDS = 60.0
"""A replica that validates shows so at least this often; else another one starts afresh."""

PROGRESS_SECONDS = 1.0
"""How often the progress of a validation is written down."""


def validate_next(database: Database, store: BlobStore, settings: Settings) -> bool:
    """Validate one data set that waits for it; returns whether there was one.

    A replica that dies while it validates is succeeded by another after `VALIDATOR_SECONDS`.
    """
    with database.write() as session:
        now = database_now(session)
        row = session.scalar(
            select(DataSetRow)
            .where(
                DataSetRow.state == "validating",
                or_(DataSetRow.validator_until.is_(None), DataSetRow.validator_until < now),
            )
            .order_by(DataSetRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return False
        row.validator_until = now + timedelta(seconds=VALIDATOR_SECONDS)
        data_set_id, upload, folder = row.id, row.upload_sha256, row.folder
    limits = IntakeLimits(max_archive_bytes=settings.max_upload_bytes)
    try:
        members = (
            archive_members(store.path(upload), limits)
            if upload is not None
            else _folder_members(folder, settings, limits)
        )
        _build(database, store, data_set_id, members, limits)
    except IntakeError as error:
        _reject(database, data_set_id, error)
    # A full disk and a database that is away are not the images' fault: tried again later.
    except (OSError, *AWAY) as error:
        log.warning("validation was interrupted", data_set=data_set_id, error=str(error))
    except Exception as error:
        log.exception("validation failed", data_set=data_set_id)
        reason = f"it could not be validated: {type(error).__name__}: {error}"
        _reject(database, data_set_id, IntakeError("validation_failed", reason))
    return True


def _folder_members(folder: str | None, settings: Settings, limits: IntakeLimits) -> Members:
    assert folder is not None
    return folder_members(folder, settings.image_roots, limits)


def _build(
    database: Database,
    store: BlobStore,
    data_set_id: str,
    members: Members,
    limits: IntakeLimits,
) -> None:
    destination = store.incoming / f"{data_set_id}.zip"
    try:
        reporter = _Reporter(database, data_set_id)
        built = build_data_set(members, destination, limits, reporter)
        content = store.add(built.path)
    finally:
        destination.unlink(missing_ok=True)
    with _patient_write(database) as session:
        row = session.get_one(DataSetRow, data_set_id)
        row.state = "ready"
        row.fingerprint, row.content_sha256 = built.fingerprint, content.sha256
        row.content_bytes = content.size_bytes
        row.statistics = built.statistics.model_dump(mode="json")
        row.progress_done = row.progress_total = reporter.done
        row.upload_sha256 = row.upload_bytes = row.validator_until = None
        session.flush()  # from now on no job is submitted that waits for it
        _begin_jobs(session, row)
    log.info("data set is ready", data_set=data_set_id, images=built.statistics.images)


class _Reporter:
    """Writes the progress of a validation down, not too often."""

    def __init__(self, database: Database, data_set_id: str) -> None:
        self._database, self._data_set_id = database, data_set_id
        self._next = 0.0
        self.done = 0

    def __call__(self, done: int, total: int | None) -> None:
        self.done = done
        if monotonic() < self._next:
            return
        self._next = monotonic() + PROGRESS_SECONDS
        with _patient_write(self._database) as session:
            row = session.get_one(DataSetRow, self._data_set_id)
            row.progress_done, row.progress_total = done, total
            row.validator_until = database_now(session) + timedelta(seconds=VALIDATOR_SECONDS)


def _reject(database: Database, data_set_id: str, error: IntakeError) -> None:
    with _patient_write(database) as session:
        row = session.get_one(DataSetRow, data_set_id)
        row.state, row.reason = "rejected", error.message
        row.problems = [problem.model_dump() for problem in error.problems]
        row.upload_sha256 = row.upload_bytes = row.validator_until = None
        session.flush()
        for job in _waiting_jobs(session, row):
            end_job(session, job, "failed", f"data set {row.name!r} was rejected: {row.reason}")
    log.info("data set is rejected", data_set=data_set_id, code=error.code)


def _begin_jobs(session: Session, data_set: DataSetRow) -> None:
    """Give the jobs that wait for a data set, which is ready now, their first work."""
    for job in _waiting_jobs(session, data_set):
        try:
            fit_job(job, data_set)
        except InvalidError as error:  # that would be the answer to submitting it now
            end_job(session, job, "failed", error.detail)
        else:
            begin_job(session, job)


def _waiting_jobs(session: Session, data_set: DataSetRow) -> Iterator[JobRow]:
    """The jobs that wait for the data set, each locked: those that have no baseline yet."""
    begun = exists().where(TrialRow.job_id == JobRow.id)
    waiting = (JobRow.data_set_id == data_set.id, JobRow.state == "waiting", ~begun)
    for job_id in session.scalars(select(JobRow.id).where(*waiting).order_by(JobRow.id)).all():
        job = lock_job(session, job_id)
        if job is not None and job.state == "waiting":  # it may have been cancelled meanwhile
            yield job


@contextmanager
def _patient_write(database: Database) -> Iterator[Session]:
    """A transaction that outlasts one that hangs, for else minutes of work were done again."""
    with database.write() as session:
        wait_at_most(session, 2.0 * HUNG_SECONDS)
        yield session
