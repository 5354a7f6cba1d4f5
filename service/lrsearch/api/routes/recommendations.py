"""Recommendations: stage rates without running anything."""

from fastapi import APIRouter

from lrsearch import recommendations
from lrsearch.api.security import Reader
from lrsearch.api.service import Running
from lrsearch.contract.recommendations import Recommendation, RecommendationRequest
from lrsearch.priors import prior_in_force

router = APIRouter(prefix="/v1/recommendations", tags=["recommendations"])


@router.post("")
def recommend(
    request: RecommendationRequest, service: Running, principal: Reader
) -> Recommendation:
    """Stage rates for a task, the best first, with what is expected of them and why.

    Nothing is run: the answer comes from finetunes of known tasks, by what a job's probe found, by
    a probe, or by the numbers of images and labels alone.
    """
    with service.database.read() as session:
        task = recommendations.requested_task(session, request, principal)
        prior = prior_in_force(session)
    return recommendations.recommend(prior, request, task, principal)
