"""Jobs, their trials, events, results and weights."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, PlainTextResponse
from sqlalchemy.exc import IntegrityError
from sse_starlette import EventSourceResponse, ServerSentEvent

from lrsearch.access import audit, keys
from lrsearch.access.principals import Principal
from lrsearch.api.routes.parameters import Cursor, Limit, blob_response, download
from lrsearch.api.security import Reader, Submitter
from lrsearch.api.service import Running, Service
from lrsearch.contract.base import Name
from lrsearch.contract.events import Event
from lrsearch.contract.jobs import OPEN, Job, JobChange, JobRequest, JobState
from lrsearch.contract.pages import Page
from lrsearch.contract.results import Result
from lrsearch.contract.trials import Trial
from lrsearch.db.tables import JobRow
from lrsearch.jobs import control, endings, jobs, results, submission, trials
from lrsearch.jobs.events import events_after
from lrsearch.leasing import trial_logs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EVENT_POLL_SECONDS = 1.0
"""How often another replica's events are looked for; our own ring the bell."""

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="Submitting again with it makes no new job."),
]


EVENT_SENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/Event"},
        },
    },
}
"""Each event of a stream, for the OpenAPI document."""

LARGEST_NUMBER = 2**31 - 1
"""Of a trial or an event, as far as the database counts."""

TrialCursor = Annotated[
    str | None, Query(pattern=r"^[0-9]{1,9}$", description="`next_cursor` of the page before.")
]
TrialNumber = Annotated[int, Path(ge=0, le=LARGEST_NUMBER)]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": Job, "description": "The key's job, made before."}},
)
def submit_job(
    request: JobRequest,
    response: Response,
    service: Running,
    principal: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a job; 200 instead of 201 where the idempotency key has made it before."""
    try:
        job, new = _submit(service, request, principal, idempotency_key)
    except IntegrityError:  # the same key at the same moment: now the other one's job is there
        job, new = _submit(service, request, principal, idempotency_key)
    if not new:
        response.status_code = status.HTTP_200_OK
    else:
        audit.record(principal, "submit_job", job=job.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    service.changed()
    return job


@router.get("")
def list_jobs(
    service: Running,
    principal: Reader,
    state: Annotated[JobState | None, Query(description="Where it stands.")] = None,
    data_set: Annotated[str | None, Query(max_length=100, description="Id or name.")] = None,
    source_model: Annotated[str | None, Query(max_length=100, description="Id or name.")] = None,
    name: Annotated[Name | None, Query(description="The job's.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Job]:
    """Your jobs, the newest first."""
    with service.database.read() as session:
        return jobs.list_jobs(
            session,
            principal,
            cursor,
            limit,
            state=state,
            data_set=data_set,
            source_model=source_model,
            name=name,
        )


@router.get("/{job_id}")
def get_job(job_id: str, service: Running, principal: Reader) -> Job:
    """One job: how far it is, and why it waits if it does."""
    with service.database.read() as session:
        return jobs.job_as_contract(session, jobs.find_job(session, job_id, principal))


@router.patch("/{job_id}")
def change_job(job_id: str, change: JobChange, service: Running, principal: Submitter) -> Job:
    """Pause a job, have it go on, or give it another priority or budget.

    Its running trials follow with their next heartbeat.
    """
    with service.database.write() as session:
        job = control.change_job(session, job_id, principal, change)
    given = change.model_dump(mode="json", exclude_none=True)
    audit.record(principal, "change_job", job=job_id, change=json.dumps(given))
    service.changed()
    return job


@router.delete("/{job_id}", status_code=status.HTTP_204_NO_CONTENT)
def delete_job(job_id: str, service: Running, principal: Submitter) -> None:
    """Delete a job with its trials, events, logs, study and weights; it ends first if it runs.

    Files that another job refers to as well stay; the others go within minutes.
    """
    with service.database.write() as session:
        control.delete_job(session, job_id, principal)
    audit.record(principal, "delete_job", job=job_id)
    service.changed()


@router.post("/{job_id}/cancel")
def cancel_job(job_id: str, service: Running, principal: Submitter) -> Job:
    """End a job now; its running trials stop with their next heartbeat."""
    with service.database.write() as session:
        job = endings.cancel_job(session, job_id, principal)
    audit.record(principal, "cancel_job", job=job_id)
    service.changed()
    return job


@router.get("/{job_id}/trials")
def list_trials(
    job_id: str, service: Running, principal: Reader, cursor: TrialCursor = None, limit: Limit = 50
) -> Page[Trial]:
    """The job's trials by number, with their learning curves."""
    with service.database.read() as session:
        return trials.list_trials(session, jobs.find_job(session, job_id, principal), cursor, limit)


@router.get("/{job_id}/trials/{number}")
def get_trial(job_id: str, number: TrialNumber, service: Running, principal: Reader) -> Trial:
    """One trial; number 0 is the baseline."""
    with service.database.read() as session:
        return trials.get_trial(session, jobs.find_job(session, job_id, principal), number)


@router.get(
    "/{job_id}/trials/{number}/log",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_trial_log(
    job_id: str, number: TrialNumber, service: Running, principal: Reader
) -> PlainTextResponse:
    """What workers logged of a trial, the latest of each attempt; it lags a heartbeat behind."""
    with service.database.read() as session:
        text = trial_logs.trial_log(session, jobs.find_job(session, job_id, principal), number)
    return PlainTextResponse(text)


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Events, in order: `id`, `event` (the type) and `data` (an Event).",
            "content": {"text/event-stream": {"schema": EVENT_SENT}},
        }
    },
)
async def stream_events(
    job_id: str,
    service: Running,
    principal: Reader,
    last_event_id: Annotated[
        int, Header(ge=0, le=LARGEST_NUMBER, description="Resume behind this event.")
    ] = 0,
) -> EventSourceResponse:
    """What happens to the job, from its beginning or behind `Last-Event-ID`; ends with the job."""
    await run_in_threadpool(_require_job, service, job_id, principal)
    return EventSourceResponse(_events(service, job_id, principal, last_event_id))


@router.get("/{job_id}/result")
def get_result(job_id: str, service: Running, principal: Reader) -> Result:
    """The best rates, the baseline, the gain, honest accuracy and what it took."""
    with service.database.read() as session:
        return results.get_result(jobs.find_job(session, job_id, principal))


@router.get(
    "/{job_id}/weights",
    response_class=FileResponse,
    responses=download("application/octet-stream", "The safetensors file."),
)
def get_weights(job_id: str, service: Running, principal: Reader) -> FileResponse:
    """The winner's weights, the very ones that were tested, as safetensors."""
    with service.database.read() as session:
        result = results.get_result(jobs.find_job(session, job_id, principal))
    audit.record(principal, "download_weights", job=job_id)
    return blob_response(
        service.store, result.weights_sha256, "application/octet-stream", f"{job_id}.safetensors"
    )


def _submit(
    service: Service, request: JobRequest, principal: Principal, idempotency_key: str | None
) -> tuple[Job, bool]:
    with service.database.write() as session:
        return submission.submit_job(session, request, principal, idempotency_key)


def _require_job(service: Service, job_id: str, principal: Principal) -> None:
    with service.database.read() as session:
        jobs.find_job(session, job_id, principal)


async def _events(
    service: Service, job_id: str, principal: Principal, after: int
) -> AsyncIterator[ServerSentEvent]:
    while True:
        ring = service.bell.next_ring()
        events, is_over = await run_in_threadpool(_events_after, service, job_id, principal, after)
        for event in events:
            yield ServerSentEvent(
                id=str(event.id), event=event.body.type, data=event.model_dump_json()
            )
            if event.body.type == "job_finished":
                return
            after = event.id
        if not events:
            if is_over:
                return
            await service.bell.wait(ring, EVENT_POLL_SECONDS)


def _events_after(
    service: Service, job_id: str, principal: Principal, after: int
) -> tuple[list[Event], bool]:
    """The events behind a number, and whether no others will come, or none may be shown."""
    with service.database.read() as session:
        if not keys.is_good(session, principal):  # revoked since the stream began
            return [], True
        job = session.get(JobRow, job_id)  # which may have been deleted meanwhile
        is_over = job is None or job.state not in OPEN
        return events_after(session, job_id, after), is_over
