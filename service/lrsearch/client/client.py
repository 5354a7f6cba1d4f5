"""The Python client: every route of the service as a method that returns contract types."""

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx
from pydantic import ValidationError

from lrsearch.client.errors import ChecksumError, ClientError, RejectedError, WaitTimeoutError
from lrsearch.client.packing import OnProgress, archive_of, name_of, pieces_of
from lrsearch.client.stream import follow
from lrsearch.client.transport import Transport
from lrsearch.contract.base import Contract
from lrsearch.contract.datasets import DataSet, FolderRegistration
from lrsearch.contract.events import Event
from lrsearch.contract.jobs import Job, JobChange, JobRequest, JobState
from lrsearch.contract.keys import Key, KeyChange, KeyRequest, NewKey
from lrsearch.contract.pages import Page
from lrsearch.contract.recommendations import Recommendation, RecommendationRequest
from lrsearch.contract.results import Result
from lrsearch.contract.sources import SourceModel
from lrsearch.contract.trials import Trial
from lrsearch.contract.workers import Worker

Item = TypeVar("Item", bound=Contract)

FINISHED_JOBS: Final[frozenset[JobState]] = frozenset({"complete", "failed", "cancelled"})
"""States that a job does not leave."""

_PAGE_ITEMS = 100
_UPLOAD_TIMEOUT_SECONDS = 600.0


class Client:
    """Talks to a service; use it in a `with` statement, or close it.

    What may be repeated without harm is sent again when the connection breaks, the service is away
    for a moment (status 502, 503, 504) or has had too many requests. Every method raises
    `ProblemError` where the service refuses and `ServiceUnreachableError` where it does not answer.

    Args:
        url: Address of the service; default `LRSEARCH_URL`, else `http://127.0.0.1:8000`.
        key: API key; default that in the file that `LRSEARCH_API_KEY_FILE` names, else
            `LRSEARCH_API_KEY`, else none.
        timeout_seconds: How long one answer may take; uploads have longer.
        attempts: How often a request is sent at most.
        transport: Replaces the network, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        attempts: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(url, key, timeout_seconds, attempts, transport)

    @property
    def url(self) -> str:
        """Address of the service."""
        return self._transport.url

    def close(self) -> None:
        """Closes the connections."""
        self._transport.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Data sets

    def upload_data_set(
        self,
        path: Path | str,
        name: str | None = None,
        on_progress: OnProgress | None = None,
        *,
        shared: bool = False,
    ) -> DataSet:
        """Uploads labelled images; the service then validates them (see `wait_for_data_set`).

        Args:
            path: An archive, or a folder that holds one folder a label.
            name: What to call it; default the file's or folder's name.
            on_progress: Is told how many bytes have been sent, of how many.
            shared: Whether everybody may use it; for administrators.
        """
        path = Path(path)
        with archive_of(path) as archive:
            name = name or name_of(path)
            return self._upload("/v1/datasets", archive, name, on_progress, DataSet, shared)

    def register_folder(self, path: Path | str, name: str, *, shared: bool = False) -> DataSet:
        """Registers a folder of the service's machine in place, below one of its image roots."""
        registration = FolderRegistration(path=str(path), name=name, shared=shared)
        return self._post("/v1/datasets/folders", DataSet, registration, repeat=False)

    def data_sets(self) -> Iterator[DataSet]:
        """Your data sets and those that are shared, newest first."""
        return self._pages("/v1/datasets", DataSet)

    def data_set(self, data_set: str) -> DataSet:
        """The data set of this id or name."""
        return self._get(f"/v1/datasets/{data_set}", DataSet)

    def wait_for_data_set(
        self,
        data_set: str,
        timeout_seconds: float | None = None,
        on_progress: Callable[[DataSet], None] | None = None,
    ) -> DataSet:
        """Waits until the data set of this id or name has been validated.

        Raises:
            RejectedError: It cannot be used.
            WaitTimeoutError: It has not been validated within `timeout_seconds`.
        """
        found = _poll(
            lambda: self.data_set(data_set),
            lambda it: it.state != "validating",
            f"data set {data_set!r} to be validated",
            timeout_seconds,
            on_progress,
        )
        if found.state == "rejected":
            lines = [f"Data set {found.name!r} cannot be used: {found.reason}"]
            for problem in found.problems:
                lines += [f"  {problem.message}", *(f"    {path}" for path in problem.paths)]
            raise RejectedError("\n".join(lines))
        return found

    # Source models

    def register_source_model(
        self,
        path: Path | str,
        name: str,
        on_progress: OnProgress | None = None,
        *,
        shared: bool = False,
    ) -> SourceModel:
        """Uploads a safetensors file whose metadata holds its `SourceSpec`; a worker checks it."""
        file = Path(path)
        return self._upload("/v1/source-models", file, name, on_progress, SourceModel, shared)

    def source_models(self) -> Iterator[SourceModel]:
        """Your source models and those that are shared, newest first."""
        return self._pages("/v1/source-models", SourceModel)

    def source_model(self, source_model: str) -> SourceModel:
        """The source model of this id or name."""
        return self._get(f"/v1/source-models/{source_model}", SourceModel)

    def wait_for_source_model(
        self, source_model: str, timeout_seconds: float | None = None
    ) -> SourceModel:
        """Waits until a worker has checked the source model of this id or name.

        Raises:
            RejectedError: Its weights do not fit its network.
            WaitTimeoutError: It has not been checked within `timeout_seconds`.
        """
        found = _poll(
            lambda: self.source_model(source_model),
            lambda it: it.state != "checking",
            f"source model {source_model!r} to be checked",
            timeout_seconds,
        )
        if found.state == "rejected":
            raise RejectedError(f"Source model {found.name!r} cannot be used: {found.reason}")
        return found

    # Jobs

    def submit(self, request: JobRequest, idempotency_key: str | None = None) -> Job:
        """Submits a job; its data set may still be being validated, then the job waits for it.

        Args:
            request: What to search.
            idempotency_key: Any text; a second request with it returns the first one's job. One is
                made up where none is given, so that a broken connection never makes two jobs.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return self._post("/v1/jobs", Job, request, repeat=True, headers=headers)

    def jobs(
        self,
        state: JobState | None = None,
        data_set: str | None = None,
        source_model: str | None = None,
        name: str | None = None,
    ) -> Iterator[Job]:
        """Your jobs, newest first; by state, data set or source model (id or name), or name."""
        filters = {
            "state": state,
            "data_set": data_set,
            "source_model": source_model,
            "name": name,
        }
        return self._pages("/v1/jobs", Job, **{k: v for k, v in filters.items() if v})

    def job(self, job_id: str) -> Job:
        """A job as it stands."""
        return self._get(f"/v1/jobs/{job_id}", Job)

    def cancel(self, job_id: str) -> Job:
        """Cancels a job; what its workers run is stopped at their next heartbeat."""
        return self._post(f"/v1/jobs/{job_id}/cancel", Job, None, repeat=False)

    def pause(self, job_id: str) -> Job:
        """Pauses a job: what its workers run is handed back at their next heartbeat."""
        return self.change(job_id, JobChange(paused=True))

    def resume(self, job_id: str) -> Job:
        """Has a paused job go on, its trials from their checkpoints."""
        return self.change(job_id, JobChange(paused=False))

    def change(self, job_id: str, change: JobChange) -> Job:
        """Changes a job that is not over: pause, priority or budget."""
        return self._send_body("PATCH", f"/v1/jobs/{job_id}", Job, change, repeat=True)

    def delete(self, job_id: str) -> None:
        """Deletes a job with all that belongs to it; one that runs is ended first."""
        self._transport.request("DELETE", f"/v1/jobs/{job_id}", repeat=False)

    def trials(self, job_id: str) -> Iterator[Trial]:
        """A job's trials, by number."""
        return self._pages(f"/v1/jobs/{job_id}/trials", Trial)

    def trial(self, job_id: str, number: int) -> Trial:
        """One trial of a job."""
        return self._get(f"/v1/jobs/{job_id}/trials/{number}", Trial)

    def trial_log(self, job_id: str, number: int) -> str:
        """What workers logged of a trial; empty where nothing has come yet."""
        path = f"/v1/jobs/{job_id}/trials/{number}/log"
        return self._transport.request("GET", path, repeat=True).text

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """A job's events as they happen, in order and each once; ends when the job has.

        A dropped connection is opened again where it stopped.

        Args:
            job_id: The job's id.
            after: Id of the last event known; 0 begins with the first.
        """
        path = f"/v1/jobs/{job_id}/events"
        return follow(self._transport, path, after, lambda: self.job(job_id).state in FINISHED_JOBS)

    def wait(self, job_id: str, timeout_seconds: float | None = None) -> Job:
        """Waits for a job's end, whatever it is.

        Raises:
            WaitTimeoutError: It has not ended within `timeout_seconds`.
        """
        return _poll(
            lambda: self.job(job_id),
            lambda it: it.state in FINISHED_JOBS,
            f"job {job_id} to end",
            timeout_seconds,
        )

    def result(self, job_id: str) -> Result:
        """What a complete job found."""
        return self._get(f"/v1/jobs/{job_id}/result", Result)

    def download_weights(self, job_id: str, path: Path | str) -> Path:
        """Writes the winner's weights to `path`, as safetensors; an existing file is replaced.

        Raises:
            ChecksumError: What arrived is not what the result names.
        """
        path = Path(path)
        expected = self.result(job_id).weights_sha256
        partial = path.with_name(path.name + ".part")
        digest = hashlib.sha256()
        try:
            with (
                self._transport.stream(f"/v1/jobs/{job_id}/weights") as response,
                partial.open("wb") as file,
            ):
                for piece in response.iter_bytes():
                    file.write(piece)
                    digest.update(piece)
            if digest.hexdigest() != expected:
                raise ChecksumError(
                    f"The weights arrived with SHA-256 {digest.hexdigest()} instead of {expected}; "
                    "try again."
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    # What other tasks teach

    def recommend(self, request: RecommendationRequest) -> Recommendation:
        """Stage rates for a task, the best first; nothing is run.

        Args:
            request: A job that has been probed, a probe, or the task's sizes; and what to choose
                from.
        """
        return self._post("/v1/recommendations", Recommendation, request, repeat=True)

    # Keys, for administrators

    def create_key(self, request: KeyRequest) -> NewKey:
        """Makes an API key; its secret is shown this once."""
        return self._post("/v1/keys", NewKey, request, repeat=False)

    def keys(self) -> Iterator[Key]:
        """All API keys, newest first, without their secrets."""
        return self._pages("/v1/keys", Key)

    def change_key(self, key: str, change: KeyChange) -> Key:
        """Gives a key, named by its id or the prefix of its secret, other limits."""
        path = f"/v1/keys/{quote(key, safe='')}"
        return self._send_body("PATCH", path, Key, change, repeat=True)

    def revoke_key(self, key: str) -> Key:
        """Ends a key, named by its id or the prefix of its secret."""
        return self._post(f"/v1/keys/{quote(key, safe='')}/revoke", Key, None, repeat=True)

    # The service

    def workers(self) -> list[Worker]:
        """All workers that have registered."""
        return list(self._pages("/v1/workers", Worker))

    def is_ready(self) -> bool:
        """Whether the service can do its work now."""
        try:
            return self._transport.http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def _get(self, path: str, kind: type[Item]) -> Item:
        return _read(kind, self._transport.request("GET", path, repeat=True))

    def _post(
        self,
        path: str,
        kind: type[Item],
        body: Contract | None,
        *,
        repeat: bool,
        headers: dict[str, str] | None = None,
    ) -> Item:
        return self._send_body("POST", path, kind, body, repeat=repeat, headers=headers)

    def _send_body(
        self,
        method: str,
        path: str,
        kind: type[Item],
        body: Contract | None,
        *,
        repeat: bool,
        headers: dict[str, str] | None = None,
    ) -> Item:
        headers = dict(headers or {})
        content = None
        if body is not None:
            # A change says nothing of what is to stay.
            content = body.model_dump_json(exclude_unset=method == "PATCH")
            headers["Content-Type"] = "application/json"
        response = self._transport.request(
            method, path, repeat=repeat, content=content, headers=headers
        )
        return _read(kind, response)

    def _pages(self, path: str, kind: type[Item], **filters: str) -> Iterator[Item]:
        cursor: str | None = None
        while True:
            query = {**filters, "limit": str(_PAGE_ITEMS)} | ({"cursor": cursor} if cursor else {})
            response = self._transport.request("GET", path, repeat=True, params=query)
            page = _read(Page[kind], response)  # type: ignore[valid-type]  # a type at run time
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def _upload(
        self,
        path: str,
        file: Path,
        name: str,
        on_progress: OnProgress | None,
        kind: type[Item],
        shared: bool,
    ) -> Item:
        response = self._transport.request(
            "POST",
            path,
            repeat=False,
            content=lambda: pieces_of(file, on_progress),
            params={"name": name} | ({"shared": "true"} if shared else {}),
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(file.stat().st_size),
            },
            timeout=_UPLOAD_TIMEOUT_SECONDS,
        )
        return _read(kind, response)


def _read(kind: type[Item], response: httpx.Response) -> Item:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise ClientError(
            f"The answer of {response.request.url} is not the {kind.__name__} that this version of "
            f"lrsearch knows; are client and service of the same version? {error}"
        ) from error


def _poll(
    look: Callable[[], Item],
    done: Callable[[Item], bool],
    what: str,
    timeout_seconds: float | None,
    on_progress: Callable[[Item], None] | None = None,
) -> Item:
    """Looks again and again, at first often, then every second."""
    started = time.monotonic()
    pause = 0.05
    while True:
        found = look()
        if on_progress is not None:
            on_progress(found)
        if done(found):
            return found
        if timeout_seconds is not None and time.monotonic() - started + pause > timeout_seconds:
            raise WaitTimeoutError(f"Waited {timeout_seconds:g} s for {what}, in vain so far.")
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
