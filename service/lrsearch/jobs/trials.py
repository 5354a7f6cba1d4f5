"""The trials of a job, as they are read and as they change."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from lrsearch.contract.events import EpochFinished
from lrsearch.contract.pages import Page
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics, Trial
from lrsearch.db.appending import append_row
from lrsearch.db.tables import EpochRow, JobRow, OutboxRow, TrialRow, WorkRow
from lrsearch.errors import NotFoundError
from lrsearch.ids import new_id
from lrsearch.jobs.events import append_event
from lrsearch.jobs.waiting import reasons_of_trials

UNFINISHED = ("waiting", "running")

_TRIALS: Final = (
    select(TrialRow).where(TrialRow.job_id == bindparam("job_id")).order_by(TrialRow.number)
)

_CURVES: Final = (
    select(
        EpochRow.trial_id,
        EpochRow.epoch,
        EpochRow.train_loss,
        EpochRow.val_loss,
        EpochRow.val_top1,
        EpochRow.seconds,
    )
    .where(EpochRow.trial_id.in_(bindparam("trial_ids", expanding=True)))
    .order_by(EpochRow.trial_id, EpochRow.epoch)
)


def add_trial(
    session: Session,
    job: JobRow,
    number: int,
    point: dict[str, float | int],
    rates: StageRates,
    *,
    baseline: bool = False,
    replicate: int = 0,
    expected: dict[str, float] | None = None,
) -> tuple[TrialRow, WorkRow]:
    """A new trial of a locked job, with its work waiting in the queue."""
    trial = TrialRow(
        id=new_id(),
        job_id=job.id,
        number=number,
        baseline=baseline,
        replicate=replicate,
        expected=expected,
        point=point,
        rates=rates.model_dump(),
        state="waiting",
    )
    work = WorkRow(id=trial.id, kind="trial", job_id=job.id, state="waiting", attempts=0)
    session.add_all([trial, work])
    return trial, work


def trials_of(session: Session, job: JobRow) -> list[TrialRow]:
    """The job's trials, by number."""
    return list(session.scalars(_TRIALS, {"job_id": job.id}))


def curves_of(session: Session, trials: Iterable[TrialRow]) -> dict[str, list[EpochMetrics]]:
    """Learning curves by trial id; empty for a trial without epochs."""
    curves: dict[str, list[EpochMetrics]] = defaultdict(list)
    for row in session.execute(_CURVES, {"trial_ids": [trial.id for trial in trials]}):
        curves[row.trial_id].append(
            EpochMetrics(
                epoch=row.epoch,
                train_loss=row.train_loss,
                val_loss=row.val_loss,
                val_top1=row.val_top1,
                seconds=row.seconds,
            )
        )
    return curves


def record_epochs(
    session: Session,
    job: JobRow,
    trial: TrialRow,
    known: list[EpochMetrics],
    metrics: list[EpochMetrics],
    epochs: int,
) -> None:
    """Add epochs that are not recorded yet, and tell of them.

    An epoch that is recorded with other numbers has been run again, since the trial could not go
    on from its checkpoint: it takes the place of that one and of all that came after.

    Args:
        session: In which the job is locked.
        job: The trial's.
        trial: Whose epochs they are.
        known: Its curve as it is recorded.
        metrics: What has come in.
        epochs: Of the recipe.
    """
    recorded = {each.epoch: each for each in known}
    for each in metrics:
        if recorded.get(each.epoch) == each:
            continue
        if each.epoch in recorded:
            forget_epochs(session, trial, after=each.epoch - 1)
            recorded = {epoch: m for epoch, m in recorded.items() if epoch < each.epoch}
        recorded[each.epoch] = each
        append_row(session, EpochRow, trial_id=trial.id, **each.model_dump())
        append_event(session, job, EpochFinished(trial=trial.number, epochs=epochs, metrics=each))


def forget_epochs(session: Session, trial: TrialRow, after: int = 0) -> None:
    """Remove the curve behind epoch number `after`."""
    session.execute(delete(EpochRow).where(EpochRow.trial_id == trial.id, EpochRow.epoch > after))


def forget_checkpoint(trial: TrialRow) -> None:
    """The trial is over, or begins anew; housekeeping removes the file."""
    trial.checkpoint_sha256 = trial.checkpoint_epochs = None


def count_epochs(session: Session, trial: TrialRow) -> int:
    """Epochs recorded of the present attempt, and of those that it goes on from."""
    return (
        session.scalar(
            select(func.count()).select_from(EpochRow).where(EpochRow.trial_id == trial.id)
        )
        or 0
    )


def tell_ledger(session: Session, job: JobRow, trial: TrialRow | None = None) -> None:
    """Have Optuna's ledger told of a trial's new state, or (None) of the job's."""
    trial_id = trial.id if trial else None
    append_row(session, OutboxRow, job_id=job.id, trial_id=trial_id, attempts=0)


def list_trials(session: Session, job: JobRow, cursor: str | None, limit: int) -> Page[Trial]:
    """The job's trials by number; the cursor is the last number seen."""
    after = int(cursor) if cursor and cursor.isdecimal() else -1
    rows = list(
        session.scalars(
            select(TrialRow)
            .where(TrialRow.job_id == job.id, TrialRow.number > after)
            .order_by(TrialRow.number)
            .limit(limit + 1)
        )
    )
    page, more = rows[:limit], len(rows) > limit
    return Page(
        items=trials_as_contract(session, page),
        next_cursor=str(page[-1].number) if more else None,
    )


def get_trial(session: Session, job: JobRow, number: int) -> Trial:
    """One trial; raises `NotFoundError`."""
    row = session.scalar(
        select(TrialRow).where(TrialRow.job_id == job.id, TrialRow.number == number)
    )
    if row is None:
        raise NotFoundError(detail=f"Job {job.id} has no trial {number}.")
    return trials_as_contract(session, [row])[0]


def trials_as_contract(session: Session, rows: list[TrialRow]) -> list[Trial]:
    """Rows as they are shown, with their curves."""
    curves = curves_of(session, rows)
    work = {
        w.id: w
        for w in session.scalars(select(WorkRow).where(WorkRow.id.in_([r.id for r in rows])))
    }
    reasons = reasons_of_trials(session, rows, work)
    return [
        Trial(
            id=row.id,
            job_id=row.job_id,
            number=row.number,
            baseline=row.baseline,
            replicate=row.replicate,
            point=row.point,
            rates=StageRates.model_validate(row.rates),
            state=row.state,
            reason=reasons[row.id].sentence if row.id in reasons else row.reason,
            reason_code=reasons[row.id].code if row.id in reasons else None,
            attempts=work[row.id].attempts,
            worker=row.worker,
            **(row.expected or {}),
            val_top1=row.val_top1,
            val_loss=row.val_loss,
            curve=curves[row.id],
            seconds=row.seconds,
            started_at=row.started_at,
            finished_at=row.finished_at,
        )
        for row in rows
    ]
