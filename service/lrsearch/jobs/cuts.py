"""Running trials that a lowered budget pays for no longer."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.contract.budgets import Budget
from lrsearch.db.engine import database_now
from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.spending import use_of
from lrsearch.jobs.trials import UNFINISHED, curves_of
from lrsearch.search.budget import Cut, Reserved, cuts


def cuts_of(session: Session, job: JobRow) -> dict[int, Cut]:
    """The unfinished trials of a locked job that its budget does not pay for, by number.

    There are none unless the budget was lowered since they were begun, or a trial took longer than
    it might.
    """
    request = request_of(job)
    if not _over(job, request.budget):
        return {}
    trials = list(
        session.scalars(
            select(TrialRow).where(
                TrialRow.job_id == job.id,
                TrialRow.state.in_(UNFINISHED),
                TrialRow.baseline.is_(False),
            )
        )
    )
    curves, now = curves_of(session, trials), database_now(session)
    reserved = []
    for trial in trials:
        seconds = [metrics.seconds for metrics in curves[trial.id]]
        waited = (now - trial.started_at).total_seconds() if trial.started_at else 0.0
        reserved.append(
            Reserved(
                number=trial.number,
                epochs=request.recipe.epochs - len(seconds),
                seconds=trial.seconds_reserved or 0.0,
                seconds_next=sum(seconds) + max(seconds) if seconds else waited,
            )
        )
    use = use_of(job, len(trials))
    return cuts(request.budget, use, reserved)


def _over(job: JobRow, budget: Budget) -> bool:
    seconds = job.seconds_spent + job.seconds_reserved
    return (
        (budget.trials is not None and job.trials_begun > budget.trials)
        or (budget.epochs is not None and job.epochs_spent > budget.epochs)
        or (budget.seconds is not None and seconds > budget.seconds)
    )
