"""What was asked of a job."""

from typing import Any, Final

from lrsearch.contract.jobs import ResolvedRequest
from lrsearch.db.tables import JobRow

MOST_REMEMBERED: Final = 1000
"""Jobs whose requests are remembered: each message of a worker asks for its job's several times."""

_known: dict[str, tuple[dict[str, Any], ResolvedRequest]] = {}
"""By the job's id: as it is written, and as it is read."""


def request_of(job: JobRow) -> ResolvedRequest:
    """The job's request, every default filled in; read anew only where it has changed."""
    written, request = _known.get(job.id, (None, None))
    if request is None or written != job.request:
        if len(_known) >= MOST_REMEMBERED:
            _known.clear()
        request = ResolvedRequest.model_validate(job.request)
        _known[job.id] = job.request, request
    return request
