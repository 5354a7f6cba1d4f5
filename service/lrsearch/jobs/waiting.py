"""Why unfinished jobs and trials are where they are.

Nothing of it is stored: it is found out when it is asked for, with a fixed number of queries for a
whole list.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lrsearch.contract.reasons import ReasonCode
from lrsearch.db.engine import database_now
from lrsearch.db.tables import DataSetRow, JobRow, LeaseRow, TrialRow, WorkerRow, WorkRow
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.spending import use_of
from lrsearch.search.budget import allowance

WORKER_PRESENT_SECONDS = 90.0
"""A worker that was seen so long ago is taken to be there."""


class Reason(NamedTuple):
    """Why something is not over yet."""

    code: ReasonCode
    sentence: str


def reasons_of_jobs(session: Session, jobs: Iterable[JobRow]) -> dict[str, Reason]:
    """Why each job that is not over is where it is, by the job's id."""
    unfinished = [job for job in jobs if job.finished_at is None]
    if not unfinished:
        return {}
    pieces, longest = _pieces(session, unfinished), _longest_seconds(session, unfinished)
    fleet, validating = fleet_of(session), _validating(session, unfinished)
    return {
        job.id: _paused(job, pieces[job.id])
        or validating.get(job.data_set_id)
        or _running(job, pieces[job.id], longest.get(job.id))
        or _waiting(job, pieces[job.id], fleet)
        for job in unfinished
    }


def reasons_of_trials(
    session: Session, trials: Sequence[TrialRow], works: Mapping[str, WorkRow]
) -> dict[str, Reason]:
    """Why each trial that is not over is where it is, by the trial's id.

    Args:
        session: The transaction.
        trials: Of any jobs.
        works: Their pieces of work, by id.
    """
    reasons = {
        trial.id: _running_trial(session.get_one(JobRow, trial.job_id), trial, works[trial.id])
        for trial in trials
        if trial.state == "running"
    }
    waiting = [trial for trial in trials if trial.state == "waiting"]
    if waiting:
        fleet = fleet_of(session)
        for trial in waiting:
            job = session.get_one(JobRow, trial.job_id)
            reasons[trial.id] = _put_back(works[trial.id].reason, _nobody_takes_it(job, fleet))
    return reasons


@dataclass(frozen=True)
class Fleet:
    """The workers that are there, by kind of device."""

    present: Counter[str]
    free: Counter[str]
    """Those of them that hold no lease."""


def fleet_of(session: Session) -> Fleet:
    """Which workers are there now."""
    since = database_now(session) - timedelta(seconds=WORKER_PRESENT_SECONDS)
    holders = select(LeaseRow.worker_id).where(LeaseRow.state == "active")
    fleet = Fleet(Counter(), Counter())
    for device, busy in session.execute(
        select(WorkerRow.device, WorkerRow.id.in_(holders)).where(WorkerRow.seen_at >= since)
    ):
        fleet.present[device["kind"]] += 1
        fleet.free[device["kind"]] += not busy
    return fleet


class _Piece(NamedTuple):
    """A piece of a job's work that is not done."""

    kind: str
    number: int | None
    """The trial's, where it is one."""
    state: str
    put_back: str | None
    worker: str | None


def _pieces(session: Session, jobs: list[JobRow]) -> dict[str, list[_Piece]]:
    found: dict[str, list[_Piece]] = defaultdict(list)
    for row in session.execute(
        select(
            WorkRow.job_id,
            WorkRow.kind,
            TrialRow.number,
            WorkRow.state,
            WorkRow.reason,
            WorkerRow.name,
        )
        .outerjoin(TrialRow, TrialRow.id == WorkRow.id)
        .outerjoin(LeaseRow, LeaseRow.id == WorkRow.lease_id)
        .outerjoin(WorkerRow, WorkerRow.id == LeaseRow.worker_id)
        .where(
            WorkRow.job_id.in_([job.id for job in jobs]), WorkRow.state.in_(("waiting", "leased"))
        )
        .order_by(WorkRow.id)
    ):
        piece = _Piece(row.kind, row.number, row.state, row.reason, row.name)
        found[row.job_id].append(piece)
    return found


def _longest_seconds(session: Session, jobs: list[JobRow]) -> dict[str, float]:
    """Of each job's complete trials, where its budget is of seconds."""
    bounded = [job.id for job in jobs if job.request["budget"].get("seconds") is not None]
    if not bounded:
        return {}
    return dict(
        session.execute(
            select(TrialRow.job_id, func.max(TrialRow.seconds))
            .where(
                TrialRow.job_id.in_(bounded),
                TrialRow.state == "complete",
                TrialRow.baseline.is_(False),
            )
            .group_by(TrialRow.job_id)
        ).all()
    )


def _validating(session: Session, jobs: list[JobRow]) -> dict[str, Reason]:
    """Why jobs wait for data sets that are not ready, by the data set's id."""
    awaited = {job.data_set_id for job in jobs if job.state == "waiting"}
    rows = session.scalars(
        select(DataSetRow).where(DataSetRow.id.in_(awaited), DataSetRow.state == "validating")
    )
    return {row.id: Reason("data_set_validating", _progress(row)) for row in rows}


def _progress(row: DataSetRow) -> str:
    seen, total = row.progress_done, row.progress_total
    files = f"{seen} files" if total is None else f"{seen} of {total} files"
    return f"data set {row.name!r} is still being validated; {files} were looked at"


def _paused(job: JobRow, pieces: list[_Piece]) -> Reason | None:
    if not job.paused:
        return None
    running = [piece for piece in pieces if piece.state == "leased"]
    if running:
        return Reason("paused", f"paused; {_doing(running)} until the next heartbeat")
    return Reason("paused", f"paused; it goes on with: lrsearch resume {job.name or job.id}")


def _running(job: JobRow, pieces: list[_Piece], longest_seconds: float | None) -> Reason | None:
    """What runs, and what else waits for it; None where nothing runs."""
    running = [piece for piece in pieces if piece.state == "leased"]
    if not running:
        return None
    doing = _doing(running)
    request = request_of(job)
    first = any(piece.number == 0 or piece.kind == "probe" for piece in pieces)
    if request.strategy == "recommend" and first:
        return Reason("baseline_and_probe", f"{doing}; proposals wait for the baseline and probe")
    use = use_of(job, sum(piece.kind == "trial" for piece in pieces))
    allowed = allowance(request.budget, use, request.recipe.epochs, longest_seconds)
    if not job.exhausted and allowed.later and not allowed.now:
        return Reason("budget_reserved", f"{doing}; what is left of the budget is reserved by it")
    return Reason("running", doing)


def _doing(running: list[_Piece]) -> str:
    on = ", ".join(sorted({piece.worker or "a worker" for piece in running}))
    numbers = [piece.number for piece in running if piece.number is not None]
    if not numbers:
        what = "the final test" if running[0].kind == "final" else "the probe"
        return f"{what} runs on {on}"
    if len(numbers) == 1:
        return f"{_trial(numbers[0])} runs on {on}"
    shown = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
    return f"{len(numbers)} trials ({shown}) run on {on}"


def _trial(number: int) -> str:
    return "the baseline" if number == 0 else f"trial {number}"


def _waiting(job: JobRow, pieces: list[_Piece], fleet: Fleet) -> Reason:
    put_back = [piece.put_back for piece in pieces if piece.put_back is not None]
    return _put_back(put_back[-1] if put_back else None, _nobody_takes_it(job, fleet))


def _nobody_takes_it(job: JobRow, fleet: Fleet) -> Reason:
    if job.paused:
        return Reason("paused", "the job is paused")
    if not fleet.present:
        return Reason("no_worker", "no worker is there; start one: lrsearch-worker run")
    if job.device is not None and not fleet.present[job.device]:
        return Reason(
            "no_worker_for_device",
            f"no worker with device {job.device} is there; there are: "
            + ", ".join(sorted(fleet.present)),
        )
    kinds = [job.device] if job.device is not None else list(fleet.present)
    if any(fleet.free[kind] for kind in kinds):
        return Reason("worker_free", "a worker is free and is about to take it")
    count = sum(fleet.present[kind] for kind in kinds)
    busy = "the only worker is busy" if count == 1 else f"all {count} workers are busy"
    return Reason("workers_busy", busy)


def _put_back(why: str | None, obstacle: Reason) -> Reason:
    """What ran before waits for its retry, and for whatever else is in its way."""
    if why is None or obstacle.code == "paused":
        return obstacle
    if obstacle.code in ("workers_busy", "worker_free"):
        return Reason("retry", why)
    return Reason(obstacle.code, f"{obstacle.sentence}; {why}")


def _running_trial(job: JobRow, trial: TrialRow, work: WorkRow) -> Reason:
    if job.paused:
        stops = f"the job is paused; it runs on {trial.worker} until the next heartbeat"
        return Reason("paused", stops)
    again = f", attempt {work.attempts}" if work.attempts > 1 else ""
    return Reason("running", f"it runs on {trial.worker}{again}")
