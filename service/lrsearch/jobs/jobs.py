"""Jobs: found, locked, listed and shown. Their life: `submission`, `advance`, `endings`."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal, owned
from lrsearch.contract.jobs import (
    OPEN,
    Best,
    Job,
    JobState,
    Spent,
)
from lrsearch.contract.pages import Page
from lrsearch.contract.webhooks import Delivery
from lrsearch.data_sets import find_data_set
from lrsearch.db.tables import (
    JobRow,
    SourceModelRow,
)
from lrsearch.errors import ConflictError, NotFoundError
from lrsearch.jobs.probes import probe_of
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.waiting import Reason, reasons_of_jobs
from lrsearch.paging import newest_first
from lrsearch.source_models import find_source_model


def find_job(session: Session, job_id: str, principal: Principal) -> JobRow:
    """The row of a job that the principal may see; raises `NotFoundError`."""
    row = session.scalar(select(JobRow).where(JobRow.id == job_id, owned(JobRow.owner, principal)))
    if row is None or row.deleted_at is not None:
        raise NotFoundError(detail=f"There is no job {job_id}.", remedy="See GET /v1/jobs.")
    return row


def lock_job(session: Session, job_id: str) -> JobRow | None:
    """The job's row, locked until the transaction ends."""
    job = session.scalar(
        select(JobRow)
        .where(JobRow.id == job_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if job is not None:
        job.dormant = False
    return job


def list_jobs(
    session: Session,
    principal: Principal,
    cursor: str | None,
    limit: int,
    *,
    state: JobState | None = None,
    data_set: str | None = None,
    source_model: str | None = None,
    name: str | None = None,
) -> Page[Job]:
    """Jobs that the principal may see, the newest first."""
    query = select(JobRow).where(owned(JobRow.owner, principal), JobRow.deleted_at.is_(None))
    if state is not None:
        query = query.where(JobRow.state == state)
    if name is not None:
        query = query.where(JobRow.name == name)
    if data_set is not None:
        query = query.where(JobRow.data_set_id == find_data_set(session, data_set, principal).id)
    if source_model is not None:
        source = find_source_model(session, source_model, principal)
        query = query.where(JobRow.source_model_id == source.id)
    rows, next_cursor = newest_first(session, query, JobRow.id, cursor, limit)
    return Page(items=jobs_as_contract(session, rows), next_cursor=next_cursor)


def lock_open_job(session: Session, job_id: str, principal: Principal, purpose: str) -> JobRow:
    """The locked row of a job that is not over and is to be `purpose` (a participle).

    Raises:
        NotFoundError: there is no such job.
        ConflictError: it is over already, code `job_finished`.
    """
    find_job(session, job_id, principal)
    job = lock_job(session, job_id)
    assert job is not None
    if job.state not in OPEN:
        raise ConflictError(
            detail=f"Job {job_id} is {job.state} already.",
            remedy=f"A finished job cannot be {purpose}; its result stays.",
            code="job_finished",
        )
    return job


def job_as_contract(session: Session, row: JobRow) -> Job:
    """The row as it is shown."""
    return jobs_as_contract(session, [row])[0]


def jobs_as_contract(session: Session, rows: Sequence[JobRow]) -> list[Job]:
    """Rows as they are shown, with why those that are not over are where they are."""
    reasons = reasons_of_jobs(session, rows)
    return [_as_contract(row, reasons.get(row.id)) for row in rows]


def _delivery(row: JobRow) -> Delivery | None:
    if row.webhook_secret is None or row.finished_at is None:
        return None
    delivered = row.webhook_delivered_at is not None
    return Delivery(
        state="delivered" if delivered else "pending" if row.webhook_next_at else "failed",
        attempts=row.webhook_attempts,
        next_at=row.webhook_next_at,
        error=row.webhook_error,
    )


def _as_contract(row: JobRow, unfinished: Reason | None) -> Job:
    best = (
        Best(
            trial=row.best_trial,
            val_top1=row.best_val_top1,
            expected_top1=row.best_expected_top1,
        )
        if row.best_trial is not None and row.best_val_top1 is not None
        else None
    )
    return Job(
        id=row.id,
        name=row.name,
        state=row.state,
        reason=unfinished.sentence if unfinished else row.reason,
        reason_code=unfinished.code if unfinished else None,
        paused=row.paused,
        request=request_of(row),
        data_set_id=row.data_set_id,
        source_model_id=row.source_model_id,
        trials_planned=row.trials_planned,
        trials_finished=row.trials_finished,
        spent=Spent(trials=row.trials_begun, epochs=row.epochs_spent, seconds=row.seconds_spent),
        best=best,
        probe=probe_of(row),
        delivery=_delivery(row),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def source_model_of(session: Session, job: JobRow) -> SourceModelRow:
    """The job's source model."""
    return session.get_one(SourceModelRow, job.source_model_id)
