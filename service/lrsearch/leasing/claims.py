"""Claims: workers ask for work and are given leases.

Choosing the work, reserving its budget and writing the leases are one transaction under the job's
lock, so that nothing is given twice and no budget is overshot. Each job that is looked at has a
transaction of its own: one that waited for a second lock could wait for another of its kind.

Claims that come in together are served together, since most of what one costs is the same for all.
"""

from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from itertools import chain
from time import monotonic
from typing import Final, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from lrsearch.contract.jobs import OPEN
from lrsearch.contract.leases import Claim, Lease
from lrsearch.db.engine import (
    LONGEST_WAIT_SECONDS,
    Database,
    database_now,
    wait_at_most,
    waited_in_vain,
)
from lrsearch.db.tables import JobRow, TrialRow, WorkerRow, WorkRow
from lrsearch.jobs.advance import advance, allowance_of, propose_trials, reserve_seconds
from lrsearch.leasing.grants import Piece, grant, grant_check, task_of
from lrsearch.leasing.put_back import Holdings, release_unheard
from lrsearch.leasing.turns import Overview, check_to_make, jobs_to_wait_for, next_job, overview
from lrsearch.leasing.workers import note_seen, worker_unknown
from lrsearch.settings import Settings

_WAITING: Final = (
    select(WorkRow, TrialRow)
    .outerjoin(TrialRow, TrialRow.id == WorkRow.id)
    .where(WorkRow.job_id == bindparam("job_id"), WorkRow.state == "waiting")
    .order_by(WorkRow.id)
    .execution_options(populate_existing=True)
)

Answers = dict[int, Lease | Exception | None]
"""By number of the claim."""


@dataclass(frozen=True)
class Asked:
    """A claim as it came in."""

    claim: Claim
    context: Context = field(default_factory=copy_context)
    """What lines in the log are to say of it."""
    at: float = field(default_factory=monotonic)
    """When, in seconds of `time.monotonic`."""


def claim_lease(database: Database, claim: Claim, settings: Settings) -> Lease | None:
    """A lease on the first work that there is for this worker, or None.

    Raises:
        NotFoundError: the worker is not registered, code `worker_unknown`.
    """
    [answer] = claim_leases(database, [Asked(claim)], settings)
    if isinstance(answer, Exception):
        raise answer
    return answer


def claim_leases(
    database: Database, claims: Sequence[Asked], settings: Settings
) -> list[Lease | Exception | None]:
    """For each claim a lease on the first work that there is for its worker, or None.

    What the workers never heard that they were given is handed back before. Checks of source models
    come first, then jobs by priority, fair share and age; all trials of a lease are of one job.
    Where a worker is not registered, the answer is the error that says so, code `worker_unknown`.
    Where the database goes away, the answer is its error for those who have nothing yet; the leases
    of the others stand, and each must hear of its own.
    """
    answers = Answers()
    holdings = {
        it.claim.worker_id: Holdings(it.claim.holds, it.at)
        for it in claims
        if it.claim.holds is not None
    }
    if holdings:
        release_unheard(database, holdings, settings)
    try:
        _serve_all(database, claims, settings, answers)
    except Exception as error:
        if not answers:
            raise
        return [answers.get(number, error) for number in range(len(claims))]
    return [answers.get(number) for number in range(len(claims))]


def _serve_all(
    database: Database, claims: Sequence[Asked], settings: Settings, answers: Answers
) -> None:
    """Put what is granted into `answers`, once it is committed."""
    open_claims = dict(enumerate(claims))
    in_vain: list[str] = []
    while open_claims:
        with database.write() as session:
            served = _serve_next(session, open_claims, in_vain, settings)
        if served is None and not (
            served := _serve_locked(database, open_claims, in_vain, settings)
        ):
            break
        answers.update(served)
        open_claims = {n: claim for n, claim in open_claims.items() if n not in answers}


def _serve_next(
    session: Session, claims: Mapping[int, Asked], in_vain: list[str], settings: Settings
) -> Answers | None:
    """Answers to some of the claims, maybe to none yet; None where nobody's turn is left.

    Args:
        session: A transaction for this alone.
        claims: By number.
        in_vain: Jobs that had nothing; one more is added where that is found out.
        settings: How long leases last.
    """
    wanted = {n: asked.claim.worker_id for n, asked in claims.items()}
    there = overview(session, set(wanted.values()))
    if unknown := {n: each for n, each in wanted.items() if each not in there.workers}:
        return {n: worker_unknown(worker_id) for n, worker_id in unknown.items()}
    for worker_id in there.workers:
        note_seen(session, worker_id, database_now(session))
    if there.models_wait and (check := check_to_make(session)) is not None:
        first = next(iter(claims))
        return {first: grant_check(session, there.workers[wanted[first]], check, settings)}
    job = next_job(session, there.kinds, in_vain, fair=there.several_owners)
    if job is None:
        return None
    answers = _serve(session, job, _takers(there, claims, job), settings)
    if not answers:
        in_vain.append(job.id)
    return answers


def _serve_locked(
    database: Database, claims: Mapping[int, Asked], in_vain: list[str], settings: Settings
) -> Answers:
    """Answers from the first job that has something, of those that others hold for a moment.

    Each is waited for, but not for long. Those that have nothing are added to `in_vain`.
    """
    with database.read() as session:
        there = overview(session, {asked.claim.worker_id for asked in claims.values()})
        busy = jobs_to_wait_for(session, there.kinds, in_vain, fair=there.several_owners)
    for job_id in busy:
        try:
            with database.write() as session:
                wait_at_most(session, LONGEST_WAIT_SECONDS)
                job = session.scalar(select(JobRow).where(JobRow.id == job_id).with_for_update())
                takers = {} if job is None else _takers(there, claims, job)
                served = {} if job is None else _serve(session, job, takers, settings)
        except OperationalError as error:
            if not waited_in_vain(error):
                raise
            served = {}
        if served:
            return served
        in_vain.append(job_id)
    return {}


class Taker(NamedTuple):
    """A worker, and what it has asked for."""

    worker: WorkerRow
    asked: Asked


Takers = dict[int, Taker]
"""By number of the claim."""


def _takers(there: Overview, claims: Mapping[int, Asked], job: JobRow) -> Takers:
    """Those who may have something of a job; only one of them where principals take turns."""
    takers = {n: Taker(there.workers[it.claim.worker_id], it) for n, it in claims.items()}
    if there.several_owners:  # who has got something may be behind others now
        takers = dict(list(_fitting(takers, job).items())[:1])
    return takers


def _serve(session: Session, job: JobRow, takers: Takers, settings: Settings) -> Answers:
    """Leases on the work of a locked job, for as many of the takers as it suffices."""
    if job.state not in OPEN or job.paused:  # it has changed while we waited for the lock
        return {}
    fitting = _fitting(takers, job)
    shares = (
        _shares(session, job, [taker.asked.claim.max_trials for taker in fitting.values()])
        if fitting
        else []
    )
    if not shares:
        return {}
    task = task_of(session, job)
    return {
        number: taker.asked.context.run(grant, session, taker.worker, job, task, share, settings)
        for (number, taker), share in zip(fitting.items(), shares, strict=False)
    }


def _fitting(takers: Takers, job: JobRow) -> Takers:
    """Those whose device is the job's; where that is open, the first taker's."""
    kind = job.device or next(iter(takers.values())).worker.device["kind"]
    return {n: taker for n, taker in takers.items() if taker.worker.device["kind"] == kind}


def _shares(session: Session, job: JobRow, wants: list[int]) -> list[list[Piece]]:
    """What each taker gets of a locked job: what waits there, else new proposals.

    A probe counts as no trial, so that it goes out with the baseline. Where there is not enough,
    there will be nothing until something of the job changes: it is not asked again before.

    Args:
        session: The transaction.
        job: Open, and not paused.
        wants: How many trials each can take; the first ones are served first.
    """
    shares = _waiting(session, job, wants)
    _reserve_for_baseline(job, shares)
    if rest := wants[len(shares) :]:
        shares += _divided(propose_trials(session, job, sum(rest)), rest)
    if not shares:
        advance(session, job)  # what remained was not enough for another trial
        shares = _waiting(session, job, wants)
    job.dormant = len(shares) < len(wants)
    return shares


def _waiting(session: Session, job: JobRow, wants: list[int]) -> list[list[Piece]]:
    found: dict[str, list[Piece]] = {"final": [], "trial": [], "probe": []}
    for work, trial in session.execute(_WAITING, {"job_id": job.id}):
        found[work.kind].append((work, trial))
    if found["final"]:
        return [found["final"]]
    shares = _divided(found["trial"], wants) or [[]]
    shares[0] = found["probe"] + shares[0]
    return [share for share in shares if share]


def _reserve_for_baseline(job: JobRow, shares: list[list[Piece]]) -> None:
    """Set aside its seconds, before proposals for others can take them all."""
    for _, trial in chain.from_iterable(shares):
        if trial is not None and trial.baseline and trial.seconds_reserved is None:
            reserve_seconds(job, trial, allowance_of(job, [trial]))


def _divided(pieces: Sequence[Piece], wants: list[int]) -> list[list[Piece]]:
    """The first to the first, as many as they want, until there are none left."""
    shares, left = [], list(pieces)
    for want in wants:
        if not left:
            break
        shares.append(left[:want])
        left = left[want:]
    return shares
