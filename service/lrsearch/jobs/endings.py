"""How jobs and trials end before they are complete, and what an end brings with it."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal
from lrsearch.contract.events import JobFinished, TrialFinished
from lrsearch.contract.jobs import (
    Job,
    JobState,
)
from lrsearch.db.engine import database_now
from lrsearch.db.tables import (
    JobRow,
    LeaseRow,
    TrialRow,
    WorkRow,
)
from lrsearch.jobs.events import append_event
from lrsearch.jobs.jobs import job_as_contract, lock_open_job
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.trials import UNFINISHED, count_epochs, forget_checkpoint, tell_ledger
from lrsearch.metrics import count_trial


def cancel_job(session: Session, job_id: str, principal: Principal) -> Job:
    """End a job now. Its running trials stop with their next heartbeat; what they send is refused.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: it is over already, code `job_finished`.
    """
    job = lock_open_job(session, job_id, principal, "cancelled")
    cancel_open_job(session, job)
    return job_as_contract(session, job)


def cancel_open_job(session: Session, job: JobRow) -> None:
    """End a locked job that is not over."""
    session.execute(
        update(LeaseRow)
        .where(LeaseRow.job_id == job.id, LeaseRow.state == "active")
        .values(state="cancelled")
    )
    cancel_trials(session, job, "the job was cancelled")
    end_job(session, job, "cancelled", "cancelled by the user")


def cancel_trials(session: Session, job: JobRow, reason: str, *, running: bool = True) -> None:
    """Cancel the job's unfinished trials, or else those that wait, but never the baseline."""
    query = select(TrialRow).where(TrialRow.job_id == job.id).order_by(TrialRow.number)
    if running:
        query = query.where(TrialRow.state.in_(UNFINISHED))
    else:
        query = query.where(TrialRow.state == "waiting", TrialRow.baseline.is_(False))
    for trial in session.scalars(query).all():
        cancel_trial(session, job, trial, reason)


def cancel_trial(session: Session, job: JobRow, trial: TrialRow, reason: str) -> None:
    """Cancel an unfinished trial of a locked job; what a worker sends for it is refused."""
    settle_reservation(session, job, trial, count_epochs(session, trial))
    forget_checkpoint(trial)
    trial.state, trial.reason, trial.finished_at = "cancelled", reason, database_now(session)
    job.trials_finished += 1
    count_trial(session, "cancelled", trial.seconds, baseline=trial.baseline)
    session.execute(update(WorkRow).where(WorkRow.id == trial.id).values(state="done"))
    append_event(
        session,
        job,
        TrialFinished(
            trial=trial.number, state="cancelled", reason=reason, val_top1=None, best=False
        ),
    )
    tell_ledger(session, job, trial)


def settle_reservation(session: Session, job: JobRow, trial: TrialRow, epochs_run: int) -> None:
    """Give back what a trial that ends has reserved and not used."""
    if trial.seconds_reserved is not None:
        job.seconds_reserved = max(0.0, job.seconds_reserved - trial.seconds_reserved)
        trial.seconds_reserved = None
    if not trial.baseline:
        job.epochs_spent += epochs_run - request_of(job).recipe.epochs


def end_job(session: Session, job: JobRow, state: JobState, reason: str | None) -> None:
    """The job is over. A probe that is still being made is not waited for."""
    job.state, job.reason, job.exhausted, job.paused = state, reason, True, False
    job.finished_at = database_now(session)
    if job.webhook_secret is not None:
        job.webhook_next_at = job.finished_at
    unfinished = (WorkRow.job_id == job.id, WorkRow.state != "done")
    session.execute(
        update(LeaseRow)
        .where(
            LeaseRow.state == "active",
            LeaseRow.id.in_(select(WorkRow.lease_id).where(*unfinished, WorkRow.kind == "probe")),
        )
        .values(state="cancelled")
    )
    session.execute(update(WorkRow).where(*unfinished).values(state="done"))
    append_event(session, job, JobFinished(state=state, reason=reason))
    tell_ledger(session, job)
