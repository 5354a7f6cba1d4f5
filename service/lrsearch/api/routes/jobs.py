"""Jobs, their trials, events, results and weights."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from lrsearch import jobs, results, trials
from lrsearch.api.routes.parameters import Cursor, Limit, blob_response
from lrsearch.api.security import Reader, Submitter
from lrsearch.api.service import Running, Service
from lrsearch.contract.base import Name
from lrsearch.contract.events import Event
from lrsearch.contract.jobs import Job, JobRequest, JobState
from lrsearch.contract.pages import Page
from lrsearch.contract.results import Result
from lrsearch.contract.trials import Trial
from lrsearch.events import events_after

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EVENT_POLL_SECONDS = 1.0
"""How often another replica's events are looked for; our own ring the bell."""

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, description="Submitting again with it makes no new job."),
]


@router.post("", status_code=status.HTTP_201_CREATED)
def submit_job(
    request: JobRequest,
    response: Response,
    service: Running,
    principal: Submitter,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Submit a job; 200 instead of 201 where the idempotency key has made it before."""
    with service.database.write() as session:
        job, new = jobs.submit_job(session, request, principal, idempotency_key)
    if not new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    service.changed()
    return job


@router.get("")
def list_jobs(
    service: Running,
    _: Reader,
    state: JobState | None = None,
    data_set: Annotated[str | None, Query(max_length=100, description="Id or name.")] = None,
    source_model: Annotated[str | None, Query(max_length=100, description="Id or name.")] = None,
    name: Annotated[Name | None, Query(description="The job's.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Job]:
    """Jobs, the newest first."""
    with service.database.read() as session:
        return jobs.list_jobs(
            session,
            cursor,
            limit,
            state=state,
            data_set=data_set,
            source_model=source_model,
            name=name,
        )


@router.get("/{job_id}")
def get_job(job_id: str, service: Running, _: Reader) -> Job:
    """One job: how far it is, and why it waits if it does."""
    with service.database.read() as session:
        return jobs.job_as_contract(session, jobs.find_job(session, job_id))


@router.post("/{job_id}/cancel")
def cancel_job(job_id: str, service: Running, _: Submitter) -> Job:
    """End a job now; its running trials stop with their next heartbeat."""
    with service.database.write() as session:
        job = jobs.cancel_job(session, job_id)
    service.changed()
    return job


@router.get("/{job_id}/trials")
def list_trials(
    job_id: str, service: Running, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[Trial]:
    """The job's trials by number, with their learning curves."""
    with service.database.read() as session:
        return trials.list_trials(session, jobs.find_job(session, job_id), cursor, limit)


@router.get("/{job_id}/trials/{number}")
def get_trial(job_id: str, number: int, service: Running, _: Reader) -> Trial:
    """One trial; number 0 is the baseline."""
    with service.database.read() as session:
        return trials.get_trial(session, jobs.find_job(session, job_id), number)


@router.get(
    "/{job_id}/events",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events, in order."}},
)
async def stream_events(
    job_id: str,
    service: Running,
    _: Reader,
    last_event_id: Annotated[int, Header(ge=0, description="Resume behind this event.")] = 0,
) -> EventSourceResponse:
    """What happens to the job, from its beginning or behind `Last-Event-ID`; ends with the job."""
    await run_in_threadpool(_require_job, service, job_id)
    return EventSourceResponse(_events(service, job_id, last_event_id))


@router.get("/{job_id}/result")
def get_result(job_id: str, service: Running, _: Reader) -> Result:
    """The best rates, the baseline, the gain, honest accuracy and what it took."""
    with service.database.read() as session:
        return results.get_result(jobs.find_job(session, job_id))


@router.get("/{job_id}/weights", response_class=FileResponse)
def get_weights(job_id: str, service: Running, _: Reader) -> FileResponse:
    """The winner's weights, the very ones that were tested, as safetensors."""
    with service.database.read() as session:
        result = results.get_result(jobs.find_job(session, job_id))
    return blob_response(
        service.store, result.weights_sha256, "application/octet-stream", f"{job_id}.safetensors"
    )


def _require_job(service: Service, job_id: str) -> None:
    with service.database.read() as session:
        jobs.find_job(session, job_id)


async def _events(service: Service, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    while True:
        events = await run_in_threadpool(_events_after, service, job_id, after)
        for event in events:
            yield ServerSentEvent(
                id=str(event.id), event=event.body.type, data=event.model_dump_json()
            )
            if event.body.type == "job_finished":
                return
            after = event.id
        if not events:
            await service.bell.wait(EVENT_POLL_SECONDS)


def _events_after(service: Service, job_id: str, after: int) -> list[Event]:
    with service.database.read() as session:
        return events_after(session, job_id, after)
