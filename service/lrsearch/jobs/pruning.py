"""Why a running trial is stopped early, by its job's rules."""

from sqlalchemy.orm import Session

from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.tasks import known_task
from lrsearch.jobs.trials import curves_of, trials_of
from lrsearch.search.elimination import doomed
from lrsearch.search.pruning import should_prune


def pruning_reason(session: Session, job: JobRow, trial: TrialRow) -> str | None:
    """The sentence that says so, or None: it goes on."""
    request = request_of(job)
    if request.strategy == "recommend" and (reason := _elimination_reason(session, job, trial)):
        return reason
    if request.pruning == "none":
        return None
    trials = [t for t in trials_of(session, job) if not t.baseline]
    curves = {
        trial_id: [metrics.val_top1 for metrics in curve]
        for trial_id, curve in curves_of(session, trials).items()
    }
    others = [curve for trial_id, curve in curves.items() if trial_id != trial.id]
    return should_prune(request.pruning, curves.get(trial.id, []), others, request.recipe.epochs)


def _elimination_reason(session: Session, job: JobRow, trial: TrialRow) -> str | None:
    """Why a trial of strategy `recommend` should give way to another, or None."""
    task = known_task(session, job, curves=True)
    searched = {each.number: each for each in task.finetunes if each.number > 0}
    finetune = searched.pop(trial.number)
    return doomed(finetune, list(searched.values()), task)
