"""The fence: who speaks for a lease, and whether it is still theirs.

Every message of a worker is checked against the lease's token and state under the lock of the job:
a worker whose lease is gone changes nothing, however late it speaks.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from lrsearch.db.engine import Clock, note_clock
from lrsearch.db.tables import JobRow, LeaseRow, TrialRow, WorkRow
from lrsearch.errors import ConflictError, NotFoundError, lease_lost

_ITS_JOB: Final = (
    select(JobRow)
    .where(
        JobRow.id
        == select(LeaseRow.job_id).where(LeaseRow.id == bindparam("lease_id")).scalar_subquery()
    )
    .with_for_update()
    .execution_options(populate_existing=True)
)

_HELD: Final = (
    select(LeaseRow, WorkRow, TrialRow, Clock())
    .outerjoin(WorkRow, WorkRow.lease_id == LeaseRow.id)
    .outerjoin(TrialRow, TrialRow.id == WorkRow.id)
    .where(LeaseRow.id.in_(bindparam("lease_ids", expanding=True)))
    .order_by(LeaseRow.id, WorkRow.id)
    .with_for_update(of=LeaseRow)
    .execution_options(populate_existing=True)
)


@dataclass(frozen=True)
class Held:
    """A lease and all that it is about, locked until the transaction ends."""

    lease: LeaseRow
    job: JobRow | None
    """None for work that belongs to no job."""
    works: dict[str, WorkRow]
    """By id; what was put back is not there any more."""
    trials: dict[str, TrialRow]
    """Those of the work that are trials, by id."""

    @property
    def running(self) -> list[WorkRow]:
        """What is not reported yet."""
        return [work for work in self.works.values() if work.state == "leased"]

    def work(self, work_id: str) -> WorkRow:
        """One piece of the work; raises `NotFoundError`, code `work_unknown`."""
        if work_id not in self.works:
            raise NotFoundError(
                detail=f"Lease {self.lease.id} holds no work {work_id}.", code="work_unknown"
            )
        return self.works[work_id]

    def running_trial(self, work_id: str) -> tuple[WorkRow, TrialRow]:
        """A trial that is not reported yet, and its piece of work.

        Raises:
            NotFoundError: as `work`.
            ConflictError: it is another kind of work or reported already, code `report_conflict`.
        """
        work = self.work(work_id)
        if work.state != "leased" or work_id not in self.trials:
            raise ConflictError(
                detail=f"Work {work_id} takes no weights now.",
                remedy="Upload a trial's weights before its report.",
                code="report_conflict",
            )
        return work, self.trials[work_id]


def fenced(session: Session, lease_id: str, token: str, also: tuple[str, ...] = ()) -> Held:
    """What the sender holds, if the lease is theirs, and active or in one of the other states.

    Raises:
        ConflictError: it is not the sender's, or not any more; code `lease_lost`.
        NotFoundError: there is no such lease, code `lease_unknown`.
    """
    return admitted(locked(session, [lease_id]), lease_id, token, also)


def admitted(
    found: Mapping[str, Held], lease_id: str, token: str, also: tuple[str, ...] = ()
) -> Held:
    """What a sender holds, of what was found and locked; raises as `fenced`."""
    if lease_id not in found:
        raise NotFoundError(detail=f"There is no lease {lease_id}.", code="lease_unknown")
    held = found[lease_id]
    name_in_log(held)
    if not secrets.compare_digest(held.lease.token_sha256, sha256(token.encode()).hexdigest()):
        raise lease_lost("the token is not this lease's")
    if held.lease.state != "active" and held.lease.state not in also:
        raise lease_lost(
            {
                "expired": "no heartbeat came in time",
                "released": "it was handed back",
                "cancelled": f"the job is {held.job.state if held.job else 'over'}",
                "done": "all its work is reported",
            }[held.lease.state]
        )
    return held


def name_in_log(held: Held) -> None:
    """Have every line that is logged from here on say which lease and job it is about."""
    names = {"lease": held.lease.id} | ({"job": held.job.id} if held.job else {})
    structlog.contextvars.bind_contextvars(**names)


def locked(session: Session, lease_ids: Sequence[str]) -> dict[str, Held]:
    """What is held under leases of one job, by lease; what there is not is left out."""
    job = session.scalar(_ITS_JOB, {"lease_id": lease_ids[0]})
    # Behind the lock, so that all is as the one before has left it.
    rows = session.execute(_HELD, {"lease_ids": list(lease_ids)}).all()
    if job is not None:
        job.dormant = False
    found: dict[str, Held] = {}
    for lease, work, trial, now in rows:
        held = found.setdefault(lease.id, Held(lease, job, {}, {}))
        if work is not None:
            held.works[work.id] = work
        if trial is not None:
            held.trials[trial.id] = trial
        note_clock(session, now)
    return found
