"""Recommendations: what the prior would finetune with, without running anything."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy.orm import Session

from lrsearch.access.principals import Principal
from lrsearch.contract.probes import Probe
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.recommendations import (
    Explanation,
    Recommendation,
    RecommendationRequest,
    Recommended,
)
from lrsearch.errors import ConflictError
from lrsearch.jobs.jobs import find_job
from lrsearch.jobs.probes import probe_of
from lrsearch.jobs.requests import request_of
from lrsearch.priors import shipped_prior
from lrsearch.search.prior.candidates import candidate_points
from lrsearch.search.prior.explain import explain, rank_fast
from lrsearch.search.prior.features import FEATURES, task_features
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.sizes import SIZES, features_of_sizes


class Task(NamedTuple):
    """What is known of what is to be finetuned; without a probe, its sizes."""

    probe: Probe | None
    recipe: Recipe


def requested_task(session: Session, request: RecommendationRequest, principal: Principal) -> Task:
    """The task that a request is about.

    Raises:
        NotFoundError: There is no such job that the principal may see.
        ConflictError: The job has not been probed, code `not_probed`.
    """
    if request.job is None:
        return Task(request.probe, request.recipe or Recipe())
    job = find_job(session, request.job, principal)
    probe = probe_of(job)
    if probe is None:
        raise ConflictError(
            detail=f"Job {job.id} has no probe yet, or it could not be made.",
            remedy="Wait until the job shows one, or give images_per_label and labels instead.",
            code="not_probed",
        )
    return Task(probe, request.recipe or request_of(job).recipe)


def recommend(
    prior: Prior, request: RecommendationRequest, task: Task, principal: Principal
) -> Recommendation:
    """Stage rates of the request's protocol for a task, the best first.

    Args:
        prior: What other tasks teach.
        request: What is asked for.
        task: Its `requested_task`.
        principal: Who asks; the names of what others own are not for everybody.
    """
    known: Collection[str]
    if task.probe is not None:
        features, known = task_features(task.probe, task.recipe), FEATURES
    else:
        assert request.images_per_label is not None
        assert request.labels is not None
        known = SIZES
        features = features_of_sizes(
            request.images_per_label, request.labels, task.recipe, prior.evidence
        )
    points = {request.protocol.rates(point): point for point in candidate_points(request.protocol)}
    candidates = list(points)
    best = rank_fast(prior, features, candidates)[: request.count]
    return Recommendation(
        prior_version=prior.version,
        based_on="sizes" if task.probe is None else "probe",
        recommended=[
            Recommended(
                point=points[each.rates],
                rates=each.rates,
                expected_top1=each.top1,
                gain_points=100.0 * each.gain,
                gain_deviation_points=100.0 * each.gain_deviation,
            )
            for each in best
        ],
        explanation=_without_names(
            explain(prior, features, candidates, best[0].rates, known), principal
        ),
    )


def _without_names(explanation: Explanation, principal: Principal) -> Explanation:
    """Leaves out what the tasks of this installation are called, where they may be another's."""
    if principal.sees_everything:
        return explanation
    shipped = set(shipped_prior().evidence.domains)
    nameless = {"name": "a task of this installation", "domain": "this installation"}
    near = [
        task if task.domain in shipped else task.model_copy(update=nameless)
        for task in explanation.nearest_tasks
    ]
    return explanation.model_copy(update={"nearest_tasks": near})
