"""Jobs: submitted, listed, shown, cancelled. How they run: `claims`, `leases`, `advance`."""

from collections.abc import Sequence
from hashlib import sha256

import structlog
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lrsearch.access.limits import require_room_for_a_job
from lrsearch.access.principals import Principal, owned
from lrsearch.contract.events import JobFinished, TrialFinished
from lrsearch.contract.jobs import (
    OPEN,
    Best,
    Job,
    JobRequest,
    JobState,
    ResolvedRequest,
    Spent,
)
from lrsearch.contract.pages import Page
from lrsearch.contract.protocols import is_finite
from lrsearch.contract.webhooks import Delivery
from lrsearch.data_sets import find_data_set, require_hopeful_data_set
from lrsearch.db.engine import after_commit, database_now
from lrsearch.db.tables import (
    JobRow,
    LeaseRow,
    SourceModelRow,
    TrialRow,
    WorkRow,
)
from lrsearch.errors import ConflictError, NotFoundError, invalid_field
from lrsearch.ids import new_id
from lrsearch.jobs.beginnings import begin_job, fit_job
from lrsearch.jobs.events import append_event
from lrsearch.jobs.probes import probe_of
from lrsearch.jobs.trials import UNFINISHED, count_epochs, forget_checkpoint, tell_ledger
from lrsearch.jobs.waiting import Reason, reasons_of_jobs
from lrsearch.metrics import count_trial
from lrsearch.paging import newest_first
from lrsearch.search.baseline import BASELINE
from lrsearch.search.proposals import require_strategy
from lrsearch.source_models import find_source_model, require_ready_source_model

log = structlog.get_logger(__name__)


def submit_job(
    session: Session, request: JobRequest, principal: Principal, idempotency_key: str | None
) -> tuple[Job, bool]:
    """A new job, its baseline and probe in the queue, or the one that the idempotency key made.

    A job on a data set that is still validated has nothing in the queue until that is ready; then
    it begins, or fails where it would have been refused.

    Returns:
        The job, and whether it is new.

    Raises:
        InvalidError: the request does not fit the data set, the source model or the installation.
        ConflictError: the key was used for another request, or something is not ready.
        LimitError: the principal has as many unfinished jobs as are allowed.
    """
    digest = sha256(request.model_dump_json().encode()).hexdigest()
    if earlier := _replayed(session, principal, idempotency_key, digest):
        return job_as_contract(session, earlier), False
    data_set = require_hopeful_data_set(
        session, find_data_set(session, request.data_set, principal)
    )
    source_model = require_ready_source_model(
        find_source_model(session, request.source_model, principal)
    )
    if request.webhook is not None and request.webhook.secret is None:
        raise invalid_field(
            "webhook.secret", "must be given: what is sent to the webhook is signed with it"
        )
    resolved = request.resolved()
    require_strategy(resolved.strategy)
    require_room_for_a_job(session, principal)
    job = JobRow(
        id=new_id(),
        name=request.name,
        owner=principal.owner,
        idempotency_key=idempotency_key,
        request_sha256=digest,
        state="waiting",
        request=resolved.model_dump(mode="json"),
        priority=request.priority,
        device=request.device,
        data_set_id=data_set.id,
        source_model_id=source_model.id,
        test_images=0,
        validation_images=0,
        trials_planned=planned_trials(resolved),
        paused=False,
        exhausted=True,
        dormant=False,
        trials_begun=0,
        trials_finished=0,
        epochs_spent=0,
        seconds_spent=0.0,
        seconds_reserved=0.0,
        last_event=0,
        webhook_secret=request.webhook and request.webhook.secret,
        webhook_attempts=0,
        created_at=database_now(session),
    )
    if data_set.state == "ready":
        fit_job(job, data_set)
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:  # the same key came at the same moment
        if earlier := _replayed(session, principal, idempotency_key, digest):
            return job_as_contract(session, earlier), False
        raise
    if data_set.state == "ready":
        begin_job(session, job)
    tell_ledger(session, job)
    after_commit(session, lambda: log.info("job submitted", job=job.id, data_set=data_set.id))
    return job_as_contract(session, job), True


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


def cancel_job(session: Session, job_id: str, principal: Principal) -> Job:
    """End a job now. Its running trials stop with their next heartbeat; what they send is refused.

    Raises:
        NotFoundError: there is no such job.
        ConflictError: it is over already, code `job_finished`.
    """
    job = lock_open_job(session, job_id, principal, "cancelled")
    cancel_open_job(session, job)
    return job_as_contract(session, job)


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


def request_of(job: JobRow) -> ResolvedRequest:
    """The job's request, every default filled in."""
    return ResolvedRequest.model_validate(job.request)


def job_as_contract(session: Session, row: JobRow) -> Job:
    """The row as it is shown."""
    return jobs_as_contract(session, [row])[0]


def jobs_as_contract(session: Session, rows: Sequence[JobRow]) -> list[Job]:
    """Rows as they are shown, with why those that are not over are where they are."""
    reasons = reasons_of_jobs(session, rows)
    return [_as_contract(row, reasons.get(row.id)) for row in rows]


def _replayed(
    session: Session, principal: Principal, key: str | None, request_sha256: str
) -> JobRow | None:
    """The job that the idempotency key made before."""
    if key is None:
        return None
    earlier = session.scalar(
        select(JobRow).where(JobRow.owner == principal.owner, JobRow.idempotency_key == key)
    )
    if earlier is not None and earlier.request_sha256 != request_sha256:
        raise ConflictError(
            detail=f"Idempotency key {key!r} was used for another request, "
            f"which made job {earlier.id}.",
            remedy="Send the same body again, or choose a new key.",
            code="idempotency_conflict",
        )
    return earlier


def planned_trials(request: ResolvedRequest) -> int | None:
    """Trials with the baseline, where grid and budget tell."""
    bounds = []
    if is_finite(request.protocol):
        points = request.protocol.points()
        bounds.append(sum(request.protocol.rates(point) != BASELINE for point in points))
    if request.budget.trials is not None:
        bounds.append(request.budget.trials)
    if request.budget.epochs is not None and request.pruning == "none":
        bounds.append(request.budget.epochs // request.recipe.epochs)
    return 1 + min(bounds) if bounds else None


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
