"""Claims: a worker asks for work and is given a lease.

Choosing the work, reserving its budget and writing the lease are one transaction under the job's
lock, so that nothing is given twice and no budget is overshot. Each job that is looked at has a
transaction of its own: one that waited for a second lock could wait for another of its kind.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from lrsearch.advance import advance, allowance_of, propose_trials, reserve_seconds
from lrsearch.checkpoints import checkpoint_of
from lrsearch.contract.events import TrialStarted
from lrsearch.contract.jobs import OPEN
from lrsearch.contract.leases import (
    CheckModelWork,
    Claim,
    FinalWork,
    Lease,
    ProbeWork,
    Task,
    TrialWork,
    Work,
)
from lrsearch.contract.rates import StageRates
from lrsearch.data_sets import fingerprint_of
from lrsearch.db.engine import Clock, Database, database_now, note_clock
from lrsearch.db.tables import (
    DataSetRow,
    JobRow,
    LeaseRow,
    SourceModelRow,
    TrialRow,
    WorkerRow,
    WorkRow,
)
from lrsearch.events import append_event
from lrsearch.ids import new_id
from lrsearch.jobs import request_of
from lrsearch.metrics import LEASES, once_committed
from lrsearch.settings import Settings
from lrsearch.source_models import source_model_as_contract
from lrsearch.trials import tell_ledger
from lrsearch.workers import find_worker, note_seen, worker_unknown


def claim_lease(database: Database, claim: Claim, settings: Settings) -> Lease | None:
    """A lease on the first work that there is for this worker, or None.

    Checks of source models come first, then jobs by priority, fair share and age; all trials of a
    lease are of one job.

    Raises:
        NotFoundError: the worker is not registered, code `worker_unknown`.
    """
    in_vain: list[str] = []
    while True:
        with database.write() as session:
            worker, several_owners, models_wait = _overview(session, claim.worker_id)
            note_seen(session, worker.id, database_now(session))
            if models_wait and (check := _model_to_check(session)) is not None:
                return _grant(session, worker, None, [(check, None)], settings)
            job = _next_job(session, worker, in_vain, fair=several_owners)
            if job is None:
                break
            if works := _take(session, job, worker, claim.max_trials):
                return _grant(session, worker, job, works, settings)
            in_vain.append(job.id)
    return _claim_locked(database, claim, settings, in_vain)


def _claim_locked(
    database: Database, claim: Claim, settings: Settings, in_vain: list[str]
) -> Lease | None:
    """A lease on work of jobs that others hold for a moment; each is waited for."""
    with database.read() as session:
        worker = find_worker(session, claim.worker_id)
        busy = session.scalars(select(JobRow.id).where(*_may_give(worker, in_vain))).all()
    for job_id in busy:
        with database.write() as session:
            job = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
            if job is not None and (works := _take(session, job, worker, claim.max_trials)):
                return _grant(session, worker, job, works, settings)
    return None


def _overview(session: Session, worker_id: str) -> tuple[WorkerRow, bool, bool]:
    """The worker, whether several principals have open jobs, and whether source models wait."""
    owner = select(func.min(JobRow.owner)).where(JobRow.state.in_(OPEN)).scalar_subquery()
    another = select(func.max(JobRow.owner)).where(JobRow.state.in_(OPEN)).scalar_subquery()
    models_wait = exists().where(WorkRow.state == "waiting", WorkRow.kind == "check_model")
    row = session.execute(
        select(WorkerRow, owner != another, models_wait, Clock()).where(WorkerRow.id == worker_id)
    ).one_or_none()
    if row is None:
        raise worker_unknown(worker_id)
    worker, several_owners, waits, now = row
    note_clock(session, now)
    return worker, bool(several_owners), waits


def _model_to_check(session: Session) -> WorkRow | None:
    return session.scalar(
        select(WorkRow)
        .where(WorkRow.state == "waiting", WorkRow.kind == "check_model")
        .order_by(WorkRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _next_job(
    session: Session, worker: WorkerRow, in_vain: list[str], *, fair: bool
) -> JobRow | None:
    """The locked job whose turn it is, of those that nobody else holds now.

    The most urgent come first; among equals, if it shall be fair, those of the principal for whom
    the least work runs, so that nobody's many jobs hold up another's; and then the oldest.
    """
    query = select(JobRow).where(*_may_give(worker, in_vain))
    if fair:
        running = _running_work().subquery()
        query = query.outerjoin(running, running.c.owner == JobRow.owner).order_by(
            JobRow.priority.desc(), func.coalesce(running.c.pieces, 0), JobRow.id
        )
    else:
        query = query.order_by(JobRow.priority.desc(), JobRow.id)
    return session.scalar(query.limit(1).with_for_update(of=JobRow, skip_locked=True))


def _may_give(worker: WorkerRow, in_vain: list[str]) -> list[ColumnElement[bool]]:
    """Which jobs may have something for a worker."""
    waits = exists().where(WorkRow.job_id == JobRow.id, WorkRow.state == "waiting")
    proposes = and_(
        JobRow.exhausted.is_(False),
        JobRow.dormant.is_(False),
        JobRow.state.in_(("waiting", "running")),
    )
    return [
        JobRow.state.in_(OPEN),
        JobRow.paused.is_(False),
        or_(JobRow.device.is_(None), JobRow.device == worker.device["kind"]),
        or_(waits, proposes),
        JobRow.id.not_in(in_vain),
    ]


def _running_work() -> Select[str, int]:
    """How much work runs now for each principal that has jobs."""
    return (
        select(JobRow.owner, func.count().label("pieces"))
        .join(LeaseRow, LeaseRow.job_id == JobRow.id)
        .join(WorkRow, WorkRow.lease_id == LeaseRow.id)
        .where(LeaseRow.state == "active", WorkRow.state == "leased")
        .group_by(JobRow.owner)
    )


def _take(
    session: Session, job: JobRow, worker: WorkerRow, max_trials: int
) -> list[tuple[WorkRow, TrialRow | None]]:
    """What a worker gets of a locked job: what waits there, else new proposals.

    A probe counts as no trial, so that it goes out with the baseline. Where there is nothing, there
    will be nothing until something of the job changes: it is not asked again before.
    """
    if job.state not in OPEN or job.paused or job.device not in (None, worker.device["kind"]):
        return []  # it has changed while we waited for the lock
    if found := _waiting(session, job, max_trials) or propose_trials(session, job, max_trials):
        return list(found)
    advance(session, job)  # what remained was not enough for another trial
    found = _waiting(session, job, max_trials)
    job.dormant = not found
    return found


def _waiting(
    session: Session, job: JobRow, max_trials: int
) -> list[tuple[WorkRow, TrialRow | None]]:
    found: dict[str, list[tuple[WorkRow, TrialRow | None]]] = {
        "final": [],
        "trial": [],
        "probe": [],
    }
    for work, trial in session.execute(
        select(WorkRow, TrialRow)
        .outerjoin(TrialRow, TrialRow.id == WorkRow.id)
        .where(WorkRow.job_id == job.id, WorkRow.state == "waiting")
        .order_by(WorkRow.id)
        .execution_options(populate_existing=True)
    ):
        found[work.kind].append((work, trial))
    return found["final"] or found["probe"] + found["trial"][:max_trials]


def _grant(
    session: Session,
    worker: WorkerRow,
    job: JobRow | None,
    works: list[tuple[WorkRow, TrialRow | None]],
    settings: Settings,
) -> Lease:
    once_committed(session, LEASES)
    token, now = secrets.token_urlsafe(24), database_now(session)
    lease = LeaseRow(
        id=new_id(),
        token_sha256=sha256(token.encode()).hexdigest(),
        job_id=job.id if job else None,
        worker_id=worker.id,
        state="active",
        expires_at=now + timedelta(seconds=settings.lease_seconds),
        created_at=now,
    )
    session.add(lease)
    session.flush()
    for work, _ in works:
        work.state, work.reason, work.lease_id = "leased", None, lease.id
        work.upload_sha256 = None
        work.attempts += 1
    return Lease(
        id=lease.id,
        token=token,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        task=_task(session, job) if job else None,
        work=[_begin(session, worker, job, work, trial, now) for work, trial in works],
    )


def _begin(
    session: Session,
    worker: WorkerRow,
    job: JobRow | None,
    work: WorkRow,
    trial: TrialRow | None,
    now: datetime,
) -> Work:
    if job is None:
        return CheckModelWork(
            id=work.id,
            source_model=source_model_as_contract(session.get_one(SourceModelRow, work.id)),
        )
    if work.kind == "final":
        return _final_work(session, job, work)
    if trial is None:
        return ProbeWork(id=work.id)
    return _begin_trial(session, worker, job, work, trial, now)


def _begin_trial(
    session: Session,
    worker: WorkerRow,
    job: JobRow,
    work: WorkRow,
    trial: TrialRow,
    now: datetime,
) -> TrialWork:
    if trial.baseline and trial.seconds_reserved is None:
        reserve_seconds(job, trial, allowance_of(job, [trial]))
    if job.state == "waiting":
        job.state, job.started_at = "running", now
    job.device = job.device or worker.device["kind"]
    trial.state, trial.worker, trial.started_at = "running", worker.name, now
    append_event(
        session,
        job,
        TrialStarted(
            trial=trial.number,
            attempt=work.attempts,
            worker=worker.name,
            epochs_done=trial.checkpoint_epochs or 0,
        ),
    )
    tell_ledger(session, job, trial)
    return TrialWork(
        id=trial.id,
        number=trial.number,
        baseline=trial.baseline,
        replicate=trial.replicate,
        rates=StageRates.model_validate(trial.rates),
        seconds_limit=trial.seconds_reserved,
        checkpoint=checkpoint_of(trial),
    )


def _final_work(session: Session, job: JobRow, work: WorkRow) -> FinalWork:
    weights = {
        trial.number: trial.weights_sha256
        for trial in session.scalars(
            select(TrialRow).where(
                TrialRow.job_id == job.id, TrialRow.number.in_([0, job.best_trial])
            )
        )
    }
    assert job.best_trial is not None
    winner = weights[job.best_trial]
    assert winner is not None
    return FinalWork(id=work.id, winner_weights=winner, baseline_weights=weights[0])


def _task(session: Session, job: JobRow) -> Task:
    request = request_of(job)
    data_set, source_model = session.execute(
        select(DataSetRow, SourceModelRow)
        .join(SourceModelRow, SourceModelRow.id == job.source_model_id)
        .where(DataSetRow.id == job.data_set_id)
    ).one()
    return Task(
        job_id=job.id,
        data_set_id=data_set.id,
        fingerprint=fingerprint_of(data_set),
        source_model=source_model_as_contract(source_model),
        images_per_label=request.images_per_label,
        recipe=request.recipe,
    )
