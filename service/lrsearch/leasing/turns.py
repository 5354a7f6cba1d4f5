"""Turns: which job, or else which source model, the next claim is served from.

The statements are made once: that takes as long as running them.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from lrsearch.contract.jobs import OPEN
from lrsearch.db.engine import Clock, note_clock
from lrsearch.db.tables import JobRow, LeaseRow, WorkerRow, WorkRow

_FIRST_OWNER = select(func.min(JobRow.owner)).where(JobRow.state.in_(OPEN)).scalar_subquery()
_LAST_OWNER = select(func.max(JobRow.owner)).where(JobRow.state.in_(OPEN)).scalar_subquery()

_OVERVIEW: Final = select(
    WorkerRow,
    _FIRST_OWNER != _LAST_OWNER,
    exists().where(WorkRow.state == "waiting", WorkRow.kind == "check_model"),
    Clock(),
).where(WorkerRow.id.in_(bindparam("worker_ids", expanding=True)))

_CHECK: Final = (
    select(WorkRow)
    .where(WorkRow.state == "waiting", WorkRow.kind == "check_model")
    .order_by(WorkRow.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)

_MAY_GIVE: Final = and_(
    JobRow.state.in_(OPEN),
    JobRow.paused.is_(False),
    or_(JobRow.device.is_(None), JobRow.device.in_(bindparam("kinds", expanding=True))),
    or_(
        exists().where(WorkRow.job_id == JobRow.id, WorkRow.state == "waiting"),
        and_(
            JobRow.exhausted.is_(False),
            JobRow.dormant.is_(False),
            JobRow.state.in_(("waiting", "running")),
        ),
    ),
    JobRow.id.not_in(bindparam("in_vain", expanding=True)),
)

_RUNNING = (  # how much work runs now for each principal that has jobs
    select(JobRow.owner, func.count().label("pieces"))
    .join(LeaseRow, LeaseRow.job_id == JobRow.id)
    .join(WorkRow, WorkRow.lease_id == LeaseRow.id)
    .where(LeaseRow.state == "active", WorkRow.state == "leased")
    .group_by(JobRow.owner)
    .subquery()
)

_BY_AGE: Final = select(JobRow).where(_MAY_GIVE).order_by(JobRow.priority.desc(), JobRow.id)

_IN_TURN: Final = (
    select(JobRow)
    .where(_MAY_GIVE)
    .outerjoin(_RUNNING, _RUNNING.c.owner == JobRow.owner)
    .order_by(JobRow.priority.desc(), func.coalesce(_RUNNING.c.pieces, 0), JobRow.id)
)

_OLDEST: Final = _BY_AGE.limit(1).with_for_update(of=JobRow, skip_locked=True)
_FAIREST: Final = _IN_TURN.limit(1).with_for_update(of=JobRow, skip_locked=True)

_BUSY: Final = _BY_AGE.with_only_columns(JobRow.id)
_BUSY_IN_TURN: Final = _IN_TURN.with_only_columns(JobRow.id)


class Overview(NamedTuple):
    """What a round of claims has to know first."""

    workers: dict[str, WorkerRow]
    """Those who are registered, by id."""
    several_owners: bool
    """Whether several principals have open jobs."""
    models_wait: bool
    """Whether source models wait to be checked."""

    @property
    def kinds(self) -> set[str]:
        """Of the workers' devices."""
        return {worker.device["kind"] for worker in self.workers.values()}


def overview(session: Session, worker_ids: Collection[str]) -> Overview:
    """The workers with these ids, and what there is for them."""
    rows = session.execute(_OVERVIEW, {"worker_ids": list(worker_ids)}).all()
    if not rows:
        return Overview({}, several_owners=False, models_wait=False)
    _, several_owners, models_wait, now = rows[0]
    note_clock(session, now)
    return Overview({worker.id: worker for worker, *_ in rows}, bool(several_owners), models_wait)


def check_to_make(session: Session) -> WorkRow | None:
    """The oldest check of a source model, locked, of those that nobody else holds now."""
    return session.scalar(_CHECK)


def next_job(
    session: Session, kinds: Collection[str], in_vain: Collection[str], *, fair: bool
) -> JobRow | None:
    """The job whose turn it is, locked, of those that nobody else holds now.

    The most urgent come first; among equals, if it shall be fair, those of the principal for whom
    the least work runs, so that nobody's many jobs hold up another's; and then the oldest.

    Args:
        session: The transaction.
        kinds: Of the devices that are there for it.
        in_vain: Jobs that have been found to have nothing.
        fair: Whether several principals have open jobs.
    """
    given = {"kinds": list(kinds), "in_vain": list(in_vain)}
    return session.scalar(_FAIREST if fair else _OLDEST, given)


def jobs_to_wait_for(
    session: Session, kinds: Collection[str], in_vain: Collection[str], *, fair: bool
) -> list[str]:
    """Ids of jobs that may have something, and are held by others for a moment, in their turn."""
    given = {"kinds": list(kinds), "in_vain": list(in_vain)}
    return list(session.scalars(_BUSY_IN_TURN if fair else _BUSY, given))
