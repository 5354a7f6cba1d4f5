"""Evidence from the finished jobs of this installation."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.access.principals import SHARED
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.results import Result
from lrsearch.db.tables import DataSetRow, JobRow, SourceModelRow, TrialRow
from lrsearch.jobs.probes import probe_of
from lrsearch.jobs.requests import request_of
from lrsearch.search.prior.evidence import Evidence, logit
from lrsearch.search.prior.features import FEATURES, Vector, task_features

DIVERGED_NOISE: Final = 0.25
"""Variance that the logit of a diverged finetune has beside that of its images: it is known to be
useless, not how useless."""


class Finetune(NamedTuple):
    """What a trial gives."""

    rates: StageRates
    correct: float
    images: float
    extra_noise: float


class Task(NamedTuple):
    """What jobs must have in common to be of one task."""

    name: str
    domain: str
    images_per_label: int | None
    recipe: str
    """As JSON, without the seed."""


def local_evidence(session: Session) -> Evidence:
    """What the complete jobs that were probed have taught, the newest task first.

    A task is a data set, a source model, a number of images per label and a recipe, whatever its
    seed; its name is that of data set and source model, its domain the data set, each behind its
    owner unless it is shared. Accuracies are of the validation images, to which come a winner's and
    a baseline's test images. A diverged trial counts as guessing.
    """
    features: dict[Task, list[Vector]] = defaultdict(list)
    finetunes: dict[Task, list[Finetune]] = defaultdict(list)
    query = (
        select(JobRow, DataSetRow, SourceModelRow)
        .join(DataSetRow, DataSetRow.id == JobRow.data_set_id)
        .join(SourceModelRow, SourceModelRow.id == JobRow.source_model_id)
        .where(JobRow.state == "complete", JobRow.deleted_at.is_(None))
        .order_by(JobRow.id.desc())
    )
    for job, data_set, source in session.execute(query):
        probe, request = probe_of(job), request_of(job)
        if probe is None:
            continue
        task = _task(request, _full_name(data_set), _full_name(source))
        features[task].append(task_features(probe, request.recipe))
        finetunes[task].extend(_finetunes(session, job, probe.chance))
    return _evidence(features, finetunes)


def _task(request: JobRequest, data_set: str, source: str) -> Task:
    count = request.images_per_label
    name = data_set if count is None else f"{data_set}-{count}"
    recipe = request.recipe.model_copy(update={"seed": 0}).model_dump_json()
    return Task(f"{name}/{source}", data_set, count, recipe)


def _full_name(row: DataSetRow | SourceModelRow) -> str:
    """Two owners may give the same name."""
    return row.name if row.owner == SHARED else f"{row.owner}/{row.name}"


def _finetunes(session: Session, job: JobRow, chance: float) -> Iterator[Finetune]:
    result, images = Result.model_validate(job.result), job.validation_images
    contenders = [each for each in (result.winner, result.baseline) if each is not None]
    tested = {each.trial: each.test_top1 for each in contenders if each.test_top1 is not None}
    trials = session.scalars(
        select(TrialRow)
        .where(TrialRow.job_id == job.id, TrialRow.state.in_(("complete", "diverged")))
        .order_by(TrialRow.number)
    )
    for trial in trials:
        rates = StageRates.model_validate(trial.rates)
        if trial.state == "diverged":
            yield Finetune(rates, chance * images, images, DIVERGED_NOISE)
        elif trial.val_top1 is not None:
            more = result.test_images if trial.number in tested else 0
            correct = trial.val_top1 * images + tested.get(trial.number, 0.0) * more
            yield Finetune(rates, correct, images + more, 0.0)


def _evidence(
    features: dict[Task, list[Vector]], finetunes: dict[Task, list[Finetune]]
) -> Evidence:
    tasks = list(features)
    means = [np.mean(features[task], axis=0) for task in tasks]
    every = [(place, each) for place, task in enumerate(tasks) for each in finetunes[task]]
    values, noise = logit(
        np.array([each.correct for _, each in every], np.float64),
        np.array([each.images for _, each in every], np.float64),
    )
    return Evidence(
        names=[task.name for task in tasks],
        domains=[task.domain for task in tasks],
        features=_stacked(means, len(FEATURES)),
        tasks=np.array([place for place, _ in every], np.int64),
        rates=_stacked(
            [[rate for _, rate in each.rates.items()] for _, each in every], len(STAGES)
        ),
        values=values,
        noise=noise + np.array([each.extra_noise for _, each in every], np.float64),
    )


def _stacked(rows: Sequence[Sequence[float] | Vector], width: int) -> Vector:
    return np.array(rows, np.float64).reshape(-1, width)
