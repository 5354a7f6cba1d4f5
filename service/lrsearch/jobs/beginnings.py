"""Beginnings: a job's first work, as soon as its data set is ready."""

from sqlalchemy.orm import Session

from lrsearch.contract.datasets import DataSetStatistics
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.splits import SplitSizes, split_sizes
from lrsearch.db.tables import DataSetRow, JobRow
from lrsearch.errors import invalid_field
from lrsearch.jobs.probes import add_probe
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.trials import add_trial
from lrsearch.search.baseline import BASELINE, baseline_point


def fit_job(job: JobRow, data_set: DataSetRow) -> None:
    """Fit a job that has not begun to its data set, which is ready.

    Raises:
        InvalidError: its splits or its images per label do not fit.
    """
    splits = _splits(request_of(job), data_set)
    job.test_images = sum(sizes.test for sizes in splits)
    job.validation_images = sum(sizes.validation for sizes in splits)
    job.exhausted = False


def begin_job(session: Session, job: JobRow) -> None:
    """Put the baseline and the probe of a job that fits into the queue."""
    point = baseline_point(request_of(job).protocol)
    add_trial(session, job, 0, point, BASELINE, baseline=True)
    add_probe(session, job)


def _splits(request: JobRequest, data_set: DataSetRow) -> list[SplitSizes]:
    """Each label's splits; raises `InvalidError` where one has too few images."""
    statistics = DataSetStatistics.model_validate(data_set.statistics)
    sizes: dict[str, SplitSizes] = {}
    for label in statistics.labels:
        try:
            sizes[label.label] = split_sizes(label.distinct, request.recipe.splits)
        except ValueError as error:
            raise invalid_field(
                "data_set",
                f"label {label.label!r} has too few images for the splits: {error}",
                request.data_set,
                code="too_few_images",
            ) from error
    scarcest = min(sizes, key=lambda label: sizes[label].train)
    most = sizes[scarcest].train
    if request.images_per_label is not None and request.images_per_label > most:
        raise invalid_field(
            "images_per_label",
            f"{request.images_per_label} is more than there is: label {scarcest!r} has {most} "
            f"training images besides validation and test; at most {most}",
            request.images_per_label,
            code="too_many_images_per_label",
        )
    return list(sizes.values())
