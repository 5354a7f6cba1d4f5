"""What a key's owner may have: unfinished jobs and stored bytes."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal
from lrsearch.contract.jobs import OPEN
from lrsearch.contract.keys import Limits
from lrsearch.db.tables import ApiKeyRow, DataSetRow, JobRow, SourceModelRow, TrialRow
from lrsearch.errors import LimitError
from lrsearch.settings import Settings

JOBS_RETRY_SECONDS: Final = 60.0
BYTES_RETRY_SECONDS: Final = 3600.0
"""When to ask again, where nobody can know when a job ends or something is deleted."""


def limits_of(principal: Principal, settings: Settings) -> Limits:
    """The limits that hold for a key: its own, else the service's; null: none.

    A fleet of workers shares one key: the service's rate does not hold for theirs.
    """
    own = principal.limits
    rate = 0.0 if "worker" in principal.scopes else settings.max_requests_per_second
    return Limits(
        running_jobs=_either(own.running_jobs, settings.max_running_jobs),
        stored_bytes=_either(own.stored_bytes, settings.max_stored_bytes),
        requests_per_second=_either(own.requests_per_second, rate),
    )


def require_room_for_a_job(session: Session, principal: Principal) -> None:
    """Raise `LimitError` where the owner has as many unfinished jobs as are allowed."""
    most = principal.limits.running_jobs
    if most is None:
        return
    _lock_owner(session, principal)
    unfinished = session.scalar(
        select(func.count())
        .select_from(JobRow)
        .where(JobRow.owner == principal.owner, JobRow.state.in_(OPEN))
    )
    if unfinished is not None and unfinished >= most:
        raise LimitError(
            detail=f"{principal.owner} has {unfinished} unfinished jobs; the key allows {most}.",
            remedy="Wait until one ends, or cancel one.",
            code="too_many_jobs",
            retry_after_seconds=JOBS_RETRY_SECONDS,
        )


@dataclass(frozen=True)
class Room:
    """What an owner may still store."""

    owner: str
    limit_bytes: int
    left_bytes: int
    """Below 0 where it is too much already: what is validated may grow."""

    def refusal(self) -> LimitError:
        """The error of what does not fit."""
        return LimitError(
            detail=f"{self.owner} may store {self.limit_bytes} bytes with this key; "
            f"{max(self.left_bytes, 0)} are left.",
            remedy="Send less, delete jobs, whose weights count, or have an administrator raise "
            "the limit: lrsearch keys change.",
            code="too_many_bytes",
            retry_after_seconds=BYTES_RETRY_SECONDS,
        )


def room_of(session: Session, principal: Principal) -> Room | None:
    """The room that the principal's owner has; null: as much as there is.

    What counts are data sets, as sent until they are validated, source models, and the weights
    that are kept of jobs.
    """
    most = principal.limits.stored_bytes
    if most is None:
        return None
    size = func.coalesce(DataSetRow.content_bytes, DataSetRow.upload_bytes, 0)
    models = select(func.sum(SourceModelRow.weights_bytes))
    sums = (
        select(func.sum(size)).where(DataSetRow.owner == principal.owner),
        models.where(SourceModelRow.owner == principal.owner),
        select(func.sum(TrialRow.weights_bytes))
        .join(JobRow, JobRow.id == TrialRow.job_id)
        .where(
            JobRow.owner == principal.owner,
            JobRow.deleted_at.is_(None),
            TrialRow.weights_sha256.is_not(None),
        ),
    )
    stored = sum(int(session.scalar(each) or 0) for each in sums)
    return Room(principal.owner, most, most - stored)


def require_room(session: Session, principal: Principal, size_bytes: int = 1) -> None:
    """Raise `LimitError` where the owner may not store so many bytes more."""
    if principal.limits.stored_bytes is None:
        return
    _lock_owner(session, principal)
    room = room_of(session, principal)
    if room is not None and size_bytes > room.left_bytes:
        raise room.refusal()


def _either(own: float | None, default: float) -> float | None:
    """0 is no limit."""
    return (default if own is None else own) or None


def _lock_owner(session: Session, principal: Principal) -> None:
    """Have requests of one owner take turns, so that two do not fit into one place."""
    session.execute(
        select(ApiKeyRow.id)
        .where(ApiKeyRow.owner == principal.owner)
        .order_by(ApiKeyRow.id)
        .with_for_update()
    ).all()
