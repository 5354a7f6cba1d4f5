"""Submission: a request becomes a job."""

from hashlib import sha256

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lrsearch.access.limits import require_room_for_a_job
from lrsearch.access.principals import Principal
from lrsearch.contract.jobs import (
    Job,
    JobRequest,
    ResolvedRequest,
)
from lrsearch.contract.protocols import is_finite
from lrsearch.data_sets import find_data_set, require_hopeful_data_set
from lrsearch.db.engine import after_commit, database_now
from lrsearch.db.tables import (
    JobRow,
)
from lrsearch.errors import ConflictError, invalid_field
from lrsearch.ids import new_id
from lrsearch.jobs.beginnings import begin_job, fit_job
from lrsearch.jobs.jobs import job_as_contract
from lrsearch.jobs.trials import tell_ledger
from lrsearch.search.baseline import BASELINE
from lrsearch.search.proposals import require_strategy
from lrsearch.source_models import find_source_model, require_ready_source_model

log = structlog.get_logger(__name__)


def submit_job(
    session: Session, request: JobRequest, principal: Principal, idempotency_key: str | None
) -> tuple[Job, bool]:
    """A new job, its baseline and probe in the queue, or the one that the idempotency key made.

    A job on a data set that is still validated has nothing in the queue until that is ready; then
    it begins, or fails where it would have been refused.

    Returns:
        The job, and whether it is new.

    Raises:
        InvalidError: the request does not fit the data set, the source model or the installation.
        ConflictError: the key was used for another request, or something is not ready.
        LimitError: the principal has as many unfinished jobs as are allowed.
    """
    digest = sha256(request.model_dump_json().encode()).hexdigest()
    if earlier := _replayed(session, principal, idempotency_key, digest):
        return job_as_contract(session, earlier), False
    data_set = require_hopeful_data_set(
        session, find_data_set(session, request.data_set, principal)
    )
    source_model = require_ready_source_model(
        find_source_model(session, request.source_model, principal)
    )
    if request.webhook is not None and request.webhook.secret is None:
        raise invalid_field(
            "webhook.secret", "must be given: what is sent to the webhook is signed with it"
        )
    resolved = request.resolved()
    require_strategy(resolved.strategy)
    require_room_for_a_job(session, principal)
    job = JobRow(
        id=new_id(),
        name=request.name,
        owner=principal.owner,
        idempotency_key=idempotency_key,
        request_sha256=digest,
        state="waiting",
        request=resolved.model_dump(mode="json"),
        priority=request.priority,
        device=request.device,
        data_set_id=data_set.id,
        source_model_id=source_model.id,
        test_images=0,
        validation_images=0,
        trials_planned=planned_trials(resolved),
        paused=False,
        exhausted=True,
        dormant=False,
        trials_begun=0,
        trials_finished=0,
        epochs_spent=0,
        seconds_spent=0.0,
        seconds_reserved=0.0,
        last_event=0,
        webhook_secret=request.webhook and request.webhook.secret,
        webhook_attempts=0,
        created_at=database_now(session),
    )
    if data_set.state == "ready":
        fit_job(job, data_set)
    try:
        with session.begin_nested():
            session.add(job)
    except IntegrityError:  # the same key came at the same moment
        if earlier := _replayed(session, principal, idempotency_key, digest):
            return job_as_contract(session, earlier), False
        raise
    if data_set.state == "ready":
        begin_job(session, job)
    tell_ledger(session, job)
    after_commit(session, lambda: log.info("job submitted", job=job.id, data_set=data_set.id))
    return job_as_contract(session, job), True


def planned_trials(request: ResolvedRequest) -> int | None:
    """Trials with the baseline, where grid and budget tell."""
    bounds = []
    if is_finite(request.protocol):
        points = request.protocol.points()
        bounds.append(sum(request.protocol.rates(point) != BASELINE for point in points))
    if request.budget.trials is not None:
        bounds.append(request.budget.trials)
    if request.budget.epochs is not None and request.pruning == "none":
        bounds.append(request.budget.epochs // request.recipe.epochs)
    return 1 + min(bounds) if bounds else None


def _replayed(
    session: Session, principal: Principal, key: str | None, request_sha256: str
) -> JobRow | None:
    """The job that the idempotency key made before."""
    if key is None:
        return None
    earlier = session.scalar(
        select(JobRow).where(JobRow.owner == principal.owner, JobRow.idempotency_key == key)
    )
    if earlier is not None and earlier.request_sha256 != request_sha256:
        raise ConflictError(
            detail=f"Idempotency key {key!r} was used for another request, "
            f"which made job {earlier.id}.",
            remedy="Send the same body again, or choose a new key.",
            code="idempotency_conflict",
        )
    return earlier
