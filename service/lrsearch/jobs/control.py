"""What a user may change of a job that is not over, and how a job is deleted."""

from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal
from lrsearch.contract.events import JobChanged
from lrsearch.contract.jobs import OPEN, Job, JobChange, JobRequest, ResolvedRequest
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import (
    DataSetRow,
    EpochRow,
    EventRow,
    JobRow,
    LeaseRow,
    OutboxRow,
    TrialLogRow,
    TrialRow,
    WorkRow,
)
from lrsearch.errors import ConflictError, invalid_field
from lrsearch.jobs.advance import go_on
from lrsearch.jobs.cuts import cuts_of
from lrsearch.jobs.endings import cancel_open_job, cancel_trial
from lrsearch.jobs.events import append_event
from lrsearch.jobs.jobs import find_job, job_as_contract, lock_job, lock_open_job
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.submission import planned_trials
from lrsearch.jobs.trials import tell_ledger, trials_of
from lrsearch.search.ledger import Ledger


def change_job(session: Session, job_id: str, principal: Principal, change: JobChange) -> Job:
    """Pause a job, have it go on, or give it another priority or budget.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: it is over, code `job_finished`; or its search is and the budget cannot be
            changed, code `search_finished`.
        InvalidError: the budget does not fit the job's recipe.
    """
    job = lock_open_job(session, job_id, principal, "changed")
    request = _changed(request_of(job), change)
    if change.paused is not None:
        job.paused = change.paused
    if change.budget is not None:
        _require_search(session, job)
    job.request, job.priority = request.model_dump(mode="json"), request.priority
    append_event(
        session,
        job,
        JobChanged(paused=job.paused, priority=job.priority, budget=request.budget),
    )
    if change.budget is not None:
        _take_budget(session, job, request)
    tell_ledger(session, job)
    return job_as_contract(session, job)


def delete_job(session: Session, job_id: str, principal: Principal) -> None:
    """Make a job unknown from now on, and end it first if it is not over.

    Its rows, its study and its artifacts are removed by `purge_deleted` and garbage collection.

    Raises:
        NotFoundError: there is no such job.
    """
    find_job(session, job_id, principal)
    job = lock_job(session, job_id)
    assert job is not None
    if job.state in OPEN:
        cancel_open_job(session, job)
    job.deleted_at, job.idempotency_key = database_now(session), None


def purge_deleted(database: Database, ledger: Ledger) -> int:
    """Remove all that belongs to deleted jobs but their files; returns how many jobs that were."""
    with database.read() as session:
        jobs = session.scalars(select(JobRow.id).where(JobRow.deleted_at.is_not(None))).all()
    return sum(_purge(database, ledger, job_id) for job_id in jobs)


def _changed(request: ResolvedRequest, change: JobChange) -> ResolvedRequest:
    fields = request.model_dump(mode="json")
    if change.priority is not None:
        fields["priority"] = change.priority
    if change.budget is None:
        return ResolvedRequest.model_validate(fields)
    fields["budget"] = change.budget.model_dump(mode="json")
    try:
        return JobRequest.model_validate(fields).resolved()
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise invalid_field("budget", message, change.budget.model_dump(exclude_none=True)) from (
            error
        )


def _require_search(session: Session, job: JobRow) -> None:
    confirms = any(trial.replicate for trial in trials_of(session, job))
    if job.state == "finalising" or confirms:
        raise ConflictError(
            detail=f"budget: the search of job {job.id} is over; its winner is being "
            + ("confirmed." if job.state != "finalising" else "tested."),
            remedy="Submit another job with the budget that you want.",
            code="search_finished",
        )


def _take_budget(session: Session, job: JobRow, request: ResolvedRequest) -> None:
    """Go by the job's new budget: running trials hear of it with their next heartbeat."""
    job.trials_planned = planned_trials(request)
    if session.get_one(DataSetRow, job.data_set_id).state == "validating":
        return  # nothing has begun
    job.exhausted = False
    cuts = cuts_of(session, job)
    for trial in trials_of(session, job):
        if trial.state == "waiting" and trial.number in cuts:
            cancel_trial(session, job, trial, cuts[trial.number].reason)
    go_on(session, job)


def _purge(database: Database, ledger: Ledger, job_id: str) -> bool:
    with database.alone(f"outbox:{job_id}") as mine:  # else the study would be made again
        if not mine:
            return False
        with database.read() as session:
            row = session.get(JobRow, job_id)
            if row is None:  # another replica was faster
                return False
            job = job_as_contract(session, row)
        ledger.forget(job)
        with database.write() as session:
            lock_job(session, job_id)
            trials = select(TrialRow.id).where(TrialRow.job_id == job_id)
            session.execute(delete(OutboxRow).where(OutboxRow.job_id == job_id))
            session.execute(delete(EventRow).where(EventRow.job_id == job_id))
            session.execute(delete(TrialLogRow).where(TrialLogRow.trial_id.in_(trials)))
            session.execute(delete(EpochRow).where(EpochRow.trial_id.in_(trials)))
            session.execute(delete(TrialRow).where(TrialRow.job_id == job_id))
            session.execute(delete(WorkRow).where(WorkRow.job_id == job_id))
            session.execute(delete(LeaseRow).where(LeaseRow.job_id == job_id))
            session.execute(delete(JobRow).where(JobRow.id == job_id))
        return True
