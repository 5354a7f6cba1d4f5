"""Metrics, for Prometheus."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from lrsearch.api.security import Reader
from lrsearch.api.service import Running
from lrsearch.metrics import exposition

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(service: Running, _: Reader) -> Response:
    """Metrics in Prometheus' text format: numbers of all users' work, and no names."""
    return Response(exposition(service.database), media_type=CONTENT_TYPE_LATEST)
