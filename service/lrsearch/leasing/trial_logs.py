"""What workers logged of a trial: kept by attempt, the latest of it, and shown as text."""

from datetime import UTC
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lrsearch.contract.logs import LogLine
from lrsearch.db.engine import database_now
from lrsearch.db.tables import JobRow, LeaseRow, TrialLogRow, TrialRow, WorkerRow
from lrsearch.errors import NotFoundError

MAX_CHARACTERS: Final = 64 * 1024
"""Kept of an attempt; what is older goes, since what went wrong stands at the end."""

MAX_ATTEMPTS: Final = 5
"""Of a trial whose logs are kept, the latest."""

LEFT_OUT: Final = "… what came before is not kept\n"


def note_lines(session: Session, lease: LeaseRow, trial: TrialRow, lines: list[LogLine]) -> None:
    """Add lines of a trial under a lease that are not there yet."""
    if not lines:
        return
    row = session.get(TrialLogRow, (trial.id, lease.id))
    if row is None:
        row = _begin(session, lease, trial)
    new = [line for line in lines if line.number > row.last_line]
    if not new:
        return
    row.last_line = max(line.number for line in new)
    row.text = _shortened(row.text + "".join(_shown(line) for line in new))


def trial_log(session: Session, job: JobRow, number: int) -> str:
    """The log of a trial as text, attempt by attempt; raises `NotFoundError`."""
    trial_id = session.scalar(
        select(TrialRow.id).where(TrialRow.job_id == job.id, TrialRow.number == number)
    )
    if trial_id is None:
        raise NotFoundError(detail=f"Job {job.id} has no trial {number}.")
    rows = session.scalars(
        select(TrialLogRow)
        .where(TrialLogRow.trial_id == trial_id)
        .order_by(TrialLogRow.began_at, TrialLogRow.lease_id)
    )
    return "\n".join(
        f"# {row.worker}, from {row.began_at:%Y-%m-%d %H:%M:%S}Z, lease {row.lease_id}\n{row.text}"
        for row in rows
    )


def _begin(session: Session, lease: LeaseRow, trial: TrialRow) -> TrialLogRow:
    earlier = session.scalars(
        select(TrialLogRow.lease_id)
        .where(TrialLogRow.trial_id == trial.id)
        .order_by(TrialLogRow.began_at.desc(), TrialLogRow.lease_id.desc())
        .offset(MAX_ATTEMPTS - 1)
    ).all()
    session.execute(
        delete(TrialLogRow).where(
            TrialLogRow.trial_id == trial.id, TrialLogRow.lease_id.in_(earlier)
        )
    )
    row = TrialLogRow(
        trial_id=trial.id,
        lease_id=lease.id,
        worker=session.get_one(WorkerRow, lease.worker_id).name,
        began_at=database_now(session),
        last_line=0,
        text="",
    )
    session.add(row)
    return row


def _shown(line: LogLine) -> str:
    text = line.text.replace("\x00", "").rstrip().replace("\n", "\n    ")
    at = line.at.astimezone(UTC)
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {line.level:<8} {text}\n"


def _shortened(text: str) -> str:
    if len(text) <= MAX_CHARACTERS:
        return text
    kept = text[-(MAX_CHARACTERS - len(LEFT_OUT)) :]
    return LEFT_OUT + kept.partition("\n")[2]
