"""Claims: a worker asks for work and is given a lease.

Choosing the work, reserving its budget and writing the lease are one transaction under the job's
lock, so that nothing is given twice and no budget is overshot. Each job that is looked at has a
transaction of its own: one that waited for a second lock could wait for another of its kind.
"""

import secrets
from collections import Counter
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import and_, exists, func, or_, select
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
from lrsearch.db.engine import Database, database_now
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
from lrsearch.jobs import lock_job, request_of, source_model_of
from lrsearch.metrics import LEASES, once_committed
from lrsearch.settings import Settings
from lrsearch.source_models import source_model_as_contract
from lrsearch.trials import tell_ledger
from lrsearch.workers import find_worker


def claim_lease(database: Database, claim: Claim, settings: Settings) -> Lease | None:
    """A lease on the first work that there is for this worker, or None.

    Checks of source models come first, then jobs by priority, fair share and age; all trials of a
    lease are of one job.

    Raises:
        NotFoundError: the worker is not registered, code `worker_unknown`.
    """
    with database.write() as session:
        worker = find_worker(session, claim.worker_id)
        worker.seen_at = database_now(session)
        work = _model_to_check(session)
        if work is not None:
            return _grant(session, worker, None, [work], settings)
        job_ids = _open_jobs(session, worker)
    for skip_locked in (True, False):  # another claim or a report may hold some for a moment
        busy = []
        for job_id in job_ids:
            with database.write() as session:
                job = lock_job(session, job_id, skip_locked=skip_locked)
                if job is None:
                    busy.append(job_id)
                elif works := _take(session, job, worker, claim.max_trials):
                    return _grant(session, worker, job, works, settings)
        job_ids = busy
    return None


def _model_to_check(session: Session) -> WorkRow | None:
    return session.scalar(
        select(WorkRow)
        .where(WorkRow.state == "waiting", WorkRow.kind == "check_model")
        .order_by(WorkRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _open_jobs(session: Session, worker: WorkerRow) -> list[str]:
    """Jobs that may have something for this worker, in the order in which they are asked.

    The most urgent come first; among equals those of the principal for whom the least work runs,
    so that nobody's many jobs hold up another's; and then the oldest.
    """
    waits = exists().where(WorkRow.job_id == JobRow.id, WorkRow.state == "waiting")
    proposes = and_(JobRow.exhausted.is_(False), JobRow.state.in_(("waiting", "running")))
    jobs = session.execute(
        select(JobRow.id, JobRow.priority, JobRow.owner)
        .where(
            JobRow.state.in_(OPEN),
            JobRow.paused.is_(False),
            or_(JobRow.device.is_(None), JobRow.device == worker.device["kind"]),
            or_(waits, proposes),
        )
        .order_by(JobRow.id)
    ).all()
    owners = {owner for _, _, owner in jobs}
    running = _running_work(session) if len(owners) > 1 else Counter[str]()
    # Ids sort by age, and sorting keeps that order among equals.
    return [job_id for job_id, *_ in sorted(jobs, key=lambda job: (-job[1], running[job[2]]))]


def _running_work(session: Session) -> Counter[str]:
    """How much work runs now for each principal that has jobs."""
    return Counter(
        dict(
            session.execute(
                select(JobRow.owner, func.count())
                .join(LeaseRow, LeaseRow.job_id == JobRow.id)
                .join(WorkRow, WorkRow.lease_id == LeaseRow.id)
                .where(LeaseRow.state == "active", WorkRow.state == "leased")
                .group_by(JobRow.owner)
            ).all()
        )
    )


def _take(session: Session, job: JobRow, worker: WorkerRow, max_trials: int) -> list[WorkRow]:
    """What the worker gets of a locked job: what waits there, else new proposals.

    A probe counts as no trial, so that it goes out with the baseline.
    """
    if job.state not in OPEN or job.paused or job.device not in (None, worker.device["kind"]):
        return []
    waiting = _waiting(session, job, max_trials)
    if waiting:
        return waiting
    proposed = propose_trials(session, job, max_trials)
    if proposed:
        return proposed
    advance(session, job)  # what remained was not enough for another trial
    return _waiting(session, job, max_trials)


def _waiting(session: Session, job: JobRow, max_trials: int) -> list[WorkRow]:
    session.flush()
    works: dict[str, list[WorkRow]] = {"final": [], "trial": [], "probe": []}
    for work in session.scalars(
        select(WorkRow)
        .where(WorkRow.job_id == job.id, WorkRow.state == "waiting")
        .order_by(WorkRow.id)
    ):
        works[work.kind].append(work)
    return works["final"] or works["probe"] + works["trial"][:max_trials]


def _grant(
    session: Session,
    worker: WorkerRow,
    job: JobRow | None,
    works: list[WorkRow],
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
    for work in works:
        work.state, work.reason, work.lease_id = "leased", None, lease.id
        work.upload_sha256 = None
        work.attempts += 1
    return Lease(
        id=lease.id,
        token=token,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        task=_task(session, job) if job else None,
        work=[_begin(session, worker, job, work, now) for work in works],
    )


def _begin(
    session: Session, worker: WorkerRow, job: JobRow | None, work: WorkRow, now: datetime
) -> Work:
    if job is None:
        return CheckModelWork(
            id=work.id,
            source_model=source_model_as_contract(session.get_one(SourceModelRow, work.id)),
        )
    if work.kind == "final":
        return _final_work(session, job, work)
    if work.kind == "probe":
        return ProbeWork(id=work.id)
    return _begin_trial(session, worker, job, work, now)


def _begin_trial(
    session: Session, worker: WorkerRow, job: JobRow, work: WorkRow, now: datetime
) -> TrialWork:
    trial = session.get_one(TrialRow, work.id)
    if trial.baseline and trial.seconds_reserved is None:
        reserve_seconds(job, trial, allowance_of(session, job))
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
    data_set = session.get_one(DataSetRow, job.data_set_id)
    return Task(
        job_id=job.id,
        data_set_id=data_set.id,
        fingerprint=fingerprint_of(data_set),
        source_model=source_model_as_contract(source_model_of(session, job)),
        images_per_label=request.images_per_label,
        recipe=request.recipe,
    )
