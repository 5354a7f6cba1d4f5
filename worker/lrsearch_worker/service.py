"""The service as a worker sees it: one method for each request, no retries."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from lrsearch.contract.leases import (
    LEASE_TOKEN_HEADER,
    Checkpoint,
    Claim,
    Heartbeat,
    HeartbeatReply,
    Lease,
    Report,
    ReportReply,
    UploadReply,
)
from lrsearch.contract.pages import Page
from lrsearch.contract.problems import Problem
from lrsearch.contract.sources import SourceModel
from lrsearch.contract.workers import Worker, WorkerRegistration
from lrsearch_worker.errors import (
    LeaseLostError,
    ServiceAwayError,
    ServiceRefusedError,
    WorkerUnknownError,
)

JSON: Final = {"Content-Type": "application/json"}
OCTETS: Final = {"Content-Type": "application/octet-stream"}
TIMEOUT: Final = httpx.Timeout(connect=5.0, read=30.0, write=60.0, pool=5.0)
TRY_LATER: Final = frozenset({408, 425, 429})
"""Besides 5xx, the statuses that may be another at the next try."""

COLLISION: Final = "collision"
"""Code of the problem that says that another request was faster; the same one does later."""

LOST: Final = frozenset({"lease_lost", "lease_unknown", "work_unknown"})
"""Codes of problems that say that a lease is gone."""

Reply = TypeVar("Reply", bound=BaseModel)


class Service:
    """A connection to the service; one thread uses it at a time.

    Every method raises `ServiceAwayError` where trying again may help, and else
    `ServiceRefusedError`; those that take a lease raise `LeaseLostError` once it is lost.

    Args:
        url: Root of the service, without `/v1`.
        key: API key of worker scope; none where the service asks for none.
        transport: What carries the requests, in tests.
    """

    def __init__(
        self, url: str, key: str | None = None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=TIMEOUT,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, registration: WorkerRegistration) -> Worker:
        """Make the worker known."""
        return self._post("/v1/workers", registration, Worker)

    def claim(self, claim: Claim) -> Lease | None:
        """Ask for work; none where there was none for `claim.wait_seconds`.

        Raises:
            WorkerUnknownError: The worker must register again.
        """
        timeout = httpx.Timeout(TIMEOUT.connect, read=claim.wait_seconds + 15.0)
        response = self._send(
            "POST", "/v1/leases", content=_json(claim), headers=JSON, timeout=timeout
        )
        return None if response.status_code == httpx.codes.NO_CONTENT else _read(response, Lease)

    def heartbeat(self, lease: Lease, heartbeat: Heartbeat) -> HeartbeatReply:
        """Keep a lease alive and hear what to do."""
        return self._post(f"/v1/leases/{lease.id}/heartbeat", heartbeat, HeartbeatReply, lease)

    def upload(self, lease: Lease, work_id: str, weights: bytes) -> UploadReply:
        """Hand over a trial's weights, a safetensors file."""
        response = self._send(
            "PUT",
            f"/v1/leases/{lease.id}/work/{work_id}/weights",
            content=weights,
            headers=OCTETS | {LEASE_TOKEN_HEADER: lease.token},
        )
        return _read(response, UploadReply)

    def upload_checkpoint(
        self, lease: Lease, work_id: str, checkpoint: Checkpoint, content: bytes
    ) -> None:
        """Hand over where a trial has got to; it replaces the checkpoint before."""
        self._send(
            "PUT",
            f"/v1/leases/{lease.id}/work/{work_id}/checkpoint",
            content=content,
            headers=OCTETS | {LEASE_TOKEN_HEADER: lease.token},
            params={"sha256": checkpoint.sha256, "epochs": str(checkpoint.epochs)},
        )

    def checkpoint(self, lease: Lease, work_id: str, out: BinaryIO) -> None:
        """Write the checkpoint of a trial under the lease to `out`."""
        path = f"/v1/leases/{lease.id}/work/{work_id}/checkpoint"
        self._download(path, out, {LEASE_TOKEN_HEADER: lease.token})

    def report(self, lease: Lease, work_id: str, report: Report) -> ReportReply:
        """Say what came of a piece of work; the same report may be sent again."""
        path = f"/v1/leases/{lease.id}/work/{work_id}/report"
        return self._post(path, report, ReportReply, lease)

    def release(self, lease: Lease) -> None:
        """Hand back what has not been reported."""
        path = f"/v1/leases/{lease.id}/release"
        self._send("POST", path, headers={LEASE_TOKEN_HEADER: lease.token})

    def data_set(self, data_set_id: str, out: BinaryIO) -> None:
        """Write a data set's canonical archive (ZIP) to `out`."""
        self._download(f"/v1/datasets/{data_set_id}/content", out)

    def source_weights(self, source_model_id: str, out: BinaryIO) -> None:
        """Write a source model's safetensors file to `out`."""
        self._download(f"/v1/source-models/{source_model_id}/weights", out)

    def blob(self, sha256: str, out: BinaryIO) -> None:
        """Write the content of that address to `out`."""
        self._download(f"/v1/blobs/{sha256}", out)

    def source_models(self) -> Iterator[SourceModel]:
        """All registered source models."""
        cursor: dict[str, str] = {}
        while True:
            response = self._send("GET", "/v1/source-models", params=cursor)
            page = _read(response, Page[SourceModel])
            yield from page.items
            if page.next_cursor is None:
                return
            cursor = {"cursor": page.next_cursor}

    def source_model(self, name: str) -> SourceModel:
        """The source model of that id or name."""
        return _read(self._send("GET", f"/v1/source-models/{quote(name, safe='')}"), SourceModel)

    def _post(
        self, path: str, body: BaseModel, reply: type[Reply], lease: Lease | None = None
    ) -> Reply:
        headers = JSON if lease is None else JSON | {LEASE_TOKEN_HEADER: lease.token}
        return _read(self._send("POST", path, content=_json(body), headers=headers), reply)

    def _send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> httpx.Response:
        with _transport_errors(f"{method} {path}"):
            response = self._client.request(
                method, path, content=content, headers=headers, params=params, timeout=timeout
            )
        _check(response)
        return response

    def _download(self, path: str, out: BinaryIO, headers: dict[str, str] | None = None) -> None:
        with (
            _transport_errors(f"GET {path}"),
            self._client.stream("GET", path, headers=headers, follow_redirects=True) as response,
        ):
            if not response.is_success:
                response.read()
            _check(response)
            for chunk in response.iter_bytes(1 << 20):
                out.write(chunk)


@contextmanager
def _transport_errors(request: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        reason = str(error) or type(error).__name__
        raise ServiceAwayError(f"{request}: {reason}") from error


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    request = f"{response.request.method} {response.request.url.path}"
    problem = _problem(response)
    code = problem.code if problem else ""
    if response.is_server_error or response.status_code in TRY_LATER or code == COLLISION:
        detail = f" ({problem.detail})" if problem else ""
        raise ServiceAwayError(f"{request}: status {response.status_code}{detail}")
    if code in LOST:
        raise LeaseLostError(problem.detail if problem else request)
    kind = WorkerUnknownError if code == "worker_unknown" else ServiceRefusedError
    raise kind(request, response.status_code, problem)


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _json(body: BaseModel) -> bytes:
    return body.model_dump_json().encode()


def _read(response: httpx.Response, kind: type[Reply]) -> Reply:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        request = f"{response.request.method} {response.request.url.path}"
        raise ServiceAwayError(
            f"{request}: the reply is no {kind.__name__}; do service and worker have the same "
            f"version, and is this the service's address? {error}"
        ) from error
