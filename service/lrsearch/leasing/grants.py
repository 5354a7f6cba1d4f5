"""Grants: the work that was chosen for a worker becomes a lease."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from lrsearch.contract.events import TrialStarted
from lrsearch.contract.leases import (
    CheckModelWork,
    FinalWork,
    Lease,
    ProbeWork,
    Task,
    TrialWork,
    Work,
)
from lrsearch.contract.rates import StageRates
from lrsearch.db.engine import database_now
from lrsearch.db.tables import (
    DataSetRow,
    JobRow,
    LeaseRow,
    SourceModelRow,
    TrialRow,
    WorkerRow,
    WorkRow,
)
from lrsearch.ids import new_id
from lrsearch.jobs.events import append_event
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.trials import tell_ledger
from lrsearch.leasing.checkpoints import checkpoint_of
from lrsearch.metrics import LEASES, once_committed
from lrsearch.settings import Settings
from lrsearch.source_models import source_model_as_contract

_TASK: Final = (
    select(DataSetRow.fingerprint, SourceModelRow)
    .join(SourceModelRow, SourceModelRow.id == bindparam("source_model_id"))
    .where(DataSetRow.id == bindparam("data_set_id"))
    .execution_options(autoflush=False)
)

Piece = tuple[WorkRow, TrialRow | None]
"""A piece of work, and its trial if it is one."""


def grant(
    session: Session,
    worker: WorkerRow,
    job: JobRow,
    task: Task,
    pieces: Sequence[Piece],
    settings: Settings,
) -> Lease:
    """A lease on some work of a locked job; its trials run from now on."""
    lease, token = _lease(session, worker, job, [work for work, _ in pieces], settings)
    return Lease(
        id=lease.id,
        token=token,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        task=task,
        work=[_begin(session, worker, job, work, trial) for work, trial in pieces],
    )


def grant_check(session: Session, worker: WorkerRow, check: WorkRow, settings: Settings) -> Lease:
    """A lease on the locked check of a source model, which belongs to no job."""
    lease, token = _lease(session, worker, None, [check], settings)
    source_model = source_model_as_contract(session.get_one(SourceModelRow, check.id))
    return Lease(
        id=lease.id,
        token=token,
        lease_seconds=settings.lease_seconds,
        heartbeat_seconds=settings.heartbeat_seconds,
        task=None,
        work=[CheckModelWork(id=check.id, source_model=source_model)],
    )


def task_of(session: Session, job: JobRow) -> Task:
    """What all trials of a job have in common."""
    request = request_of(job)
    fingerprint, source_model = session.execute(
        _TASK, {"data_set_id": job.data_set_id, "source_model_id": job.source_model_id}
    ).one()
    return Task(
        job_id=job.id,
        data_set_id=job.data_set_id,
        fingerprint=fingerprint,
        source_model=source_model_as_contract(source_model),
        images_per_label=request.images_per_label,
        recipe=request.recipe,
    )


def _lease(
    session: Session,
    worker: WorkerRow,
    job: JobRow | None,
    works: list[WorkRow],
    settings: Settings,
) -> tuple[LeaseRow, str]:
    """The lease, which has the work now, and its token."""
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
    for work in works:
        work.state, work.reason, work.lease, work.upload_sha256 = "leased", None, lease, None
        work.attempts += 1
    return lease, token


def _begin(
    session: Session, worker: WorkerRow, job: JobRow, work: WorkRow, trial: TrialRow | None
) -> Work:
    if work.kind == "final":
        return _final_work(session, job, work)
    if trial is None:
        return ProbeWork(id=work.id)
    return _begin_trial(session, worker, job, work, trial)


def _begin_trial(
    session: Session, worker: WorkerRow, job: JobRow, work: WorkRow, trial: TrialRow
) -> TrialWork:
    now: datetime = database_now(session)
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
