"""A job's task as strategy `recommend` knows it, from its probe and its trials."""

from collections.abc import Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from lrsearch.contract.datasets import DataSetStatistics
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import FINISHED
from lrsearch.db.tables import DataSetRow, JobRow, TrialRow, WorkRow
from lrsearch.jobs.probes import probe_of
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.trials import curves_of, trials_of
from lrsearch.priors import prior_in_force
from lrsearch.search.known import Finetune, KnownTask
from lrsearch.search.prior.features import task_features, typical_features


def ready_to_recommend(session: Session, job: JobRow) -> bool:
    """Whether baseline and probe, which all recommendations rest on, are there or given up."""
    awaited = select(
        exists().where(WorkRow.job_id == job.id, WorkRow.kind == "probe", WorkRow.state != "done")
    )
    baseline = select(TrialRow.state).where(TrialRow.job_id == job.id, TrialRow.number == 0)
    return session.scalar(baseline) in FINISHED and not session.scalar(awaited)


def known_task(
    session: Session,
    job: JobRow,
    trials: Sequence[TrialRow] | None = None,
    *,
    curves: bool = False,
) -> KnownTask:
    """What is known of a job's task; without a probe, its features are those of typical tasks.

    Args:
        session: In which the job is locked.
        job: The job.
        trials: All of the job's, where they are at hand.
        curves: Whether the learning curves of all trials are wanted, or only those of pruned ones,
            of which nothing else tells.
    """
    request, probe, prior = request_of(job), probe_of(job), prior_in_force(session)
    labels = _labels(session, job)
    return KnownTask(
        prior=prior,
        features=typical_features(prior.evidence.features)
        if probe is None
        else task_features(probe, request.recipe),
        chance=1.0 / labels,
        val_images=job.validation_images,
        epochs=request.recipe.epochs,
        finetunes=_finetunes(
            session, trials if trials is not None else trials_of(session, job), curves=curves
        ),
    )


def _labels(session: Session, job: JobRow) -> int:
    data_set = session.get_one(DataSetRow, job.data_set_id)
    return len(DataSetStatistics.model_validate(data_set.statistics).labels)


def _finetunes(session: Session, trials: Sequence[TrialRow], *, curves: bool) -> list[Finetune]:
    searched = [trial for trial in trials if not trial.replicate]
    wanted = [trial for trial in searched if curves or trial.state == "pruned"]
    by_trial = curves_of(session, wanted) if wanted else {}
    return [
        Finetune(
            number=trial.number,
            rates=StageRates.model_validate(trial.rates),
            state=trial.state,
            val_top1=trial.val_top1,
            curve=by_trial.get(trial.id, []),
        )
        for trial in searched
    ]
