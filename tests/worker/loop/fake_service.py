"""The lease protocol in memory: hands out scripted leases, checks tokens, keeps what it is sent."""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Condition
from typing import Final
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter

from lrsearch.contract.leases import (
    LEASE_TOKEN_HEADER,
    Checkpoint,
    Claim,
    Directive,
    Epoch,
    Heartbeat,
    HeartbeatReply,
    Lease,
    Report,
    ReportReply,
    Task,
    UploadReply,
    Work,
)
from lrsearch.contract.pages import Page
from lrsearch.contract.problems import Problem
from lrsearch.contract.sources import SourceModel
from lrsearch.contract.workers import Worker, WorkerRegistration

WAIT_SECONDS: Final = 120.0
"""After so long something that a test waits for will not come."""

Fault = httpx.Response | Exception
Obey = Callable[[Heartbeat], dict[str, Directive]]


@dataclass
class FakeService:
    """Answers requests as the service would; several threads may ask at once."""

    archives: dict[str, bytes] = field(default_factory=dict)
    """Data sets by id."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    """By content address."""
    source_models: dict[str, SourceModel] = field(default_factory=dict)
    """By id."""
    heartbeat_seconds: float = 30.0
    val_top1_to_beat: float | None = None
    directives: Obey = field(default=lambda heartbeat: {})
    """What heartbeats are answered."""

    requests: list[str] = field(default_factory=list)
    """`METHOD path` of all requests, in order."""
    registrations: list[WorkerRegistration] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    heartbeats: dict[str, list[Heartbeat]] = field(default_factory=dict)
    """By lease."""
    reports: dict[str, Report] = field(default_factory=dict)
    """By work."""
    uploads: dict[str, bytes] = field(default_factory=dict)
    """By work."""
    checkpoints: dict[str, list[bytes]] = field(default_factory=dict)
    """By work, in order; the last is what there is."""
    released: list[str] = field(default_factory=list)
    """Leases that were handed back."""

    def __post_init__(self) -> None:
        self._changed = Condition()
        self._leases: deque[Lease] = deque()
        self._given: dict[str, Lease] = {}
        self._lost: set[str] = set()
        self._faults: list[tuple[str, re.Pattern[str], deque[Fault]]] = []
        self._workers: set[str] = set()
        self._idle = False
        self._closed = False

    def offer(self, work: Iterable[Work], task: Task | None) -> Lease:
        """A lease for the next claim."""
        lease = Lease(
            id=str(uuid4()),
            token=uuid4().hex,
            lease_seconds=3 * self.heartbeat_seconds,
            heartbeat_seconds=self.heartbeat_seconds,
            task=task,
            work=list(work),
        )
        with self._changed:
            self._leases.append(lease)
            self._changed.notify_all()
        return lease

    def fail(self, method: str, path: str, *faults: Fault) -> None:
        """Let the next requests that match go wrong, one after the other."""
        self._faults.append((method, re.compile(path), deque(faults)))

    def lose(self, lease: Lease) -> None:
        """Take a lease away from the worker that has it."""
        self._lost.add(lease.id)

    def forget_workers(self) -> None:
        """Know no worker any more."""
        self._workers.clear()

    def epochs(self, lease: Lease) -> list[Epoch]:
        """What the heartbeats of a lease have brought."""
        return [epoch for beat in self.heartbeats.get(lease.id, []) for epoch in beat.epochs]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that requests bring about."""
        with self._changed:
            if not self._changed.wait_for(condition, WAIT_SECONDS):
                raise TimeoutError(f"it did not come; requests so far: {self.requests}")

    def wait_until_idle(self) -> None:
        """Wait until a worker asks for work and there is none."""
        self.wait_until(lambda: self._idle)

    def close(self) -> None:
        """Let waiting claims go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        with self._changed:
            self.requests.append(f"{request.method} {request.url.path}")
            try:
                return self._fault(request) or self._answer(request)
            finally:
                self._changed.notify_all()

    def _fault(self, request: httpx.Request) -> httpx.Response | None:
        for method, path, faults in self._faults:
            if faults and method == request.method and path.search(request.url.path):
                fault = faults.popleft()
                if isinstance(fault, Exception):
                    raise fault
                return fault
        return None

    def _answer(self, request: httpx.Request) -> httpx.Response:
        match [request.method, *request.url.path.strip("/").split("/")[1:]]:
            case ["POST", "workers"]:
                return self._register(WorkerRegistration.model_validate_json(request.content))
            case ["POST", "leases"]:
                return self._claim(Claim.model_validate_json(request.content))
            case [_, "leases", lease_id, *rest]:
                lease = self._given[lease_id]
                token = request.headers.get(LEASE_TOKEN_HEADER)
                if lease_id in self._lost | set(self.released) or token != lease.token:
                    return problem(409, "lease_lost", "the lease is another's")
                return self._leased(lease, rest, request)
            case ["GET", "datasets", data_set, "content"]:
                return httpx.Response(200, content=self.archives[data_set])
            case ["GET", "source-models"]:
                models = Page[SourceModel](
                    items=list(self.source_models.values()), next_cursor=None
                )
                return _json(200, models)
            case ["GET", "source-models", model, "weights"]:
                sha256 = self.source_models[model].weights_sha256
                return httpx.Response(200, content=self.blobs[sha256 or ""])
            case ["GET", "source-models", name]:
                for found in self.source_models.values():
                    if name in (found.id, found.name):
                        return _json(200, found)
            case ["GET", "blobs", sha256] if sha256 in self.blobs:
                return httpx.Response(200, content=self.blobs[sha256])
        return problem(404, "not_found", f"there is no {request.url.path}")

    def _register(self, registration: WorkerRegistration) -> httpx.Response:
        now = datetime.now(UTC)
        worker = Worker(
            id=str(uuid4()),
            name=registration.name,
            device=registration.device,
            versions=registration.versions,
            registered_at=now,
            seen_at=now,
            leases=0,
        )
        self.registrations.append(registration)
        self._workers.add(worker.id)
        return _json(201, worker)

    def _claim(self, claim: Claim) -> httpx.Response:
        self.claims.append(claim)
        if claim.worker_id not in self._workers:
            return problem(404, "worker_unknown", f"there is no worker {claim.worker_id}")
        self._idle = not self._leases
        self._changed.notify_all()
        self._changed.wait_for(lambda: bool(self._leases) or self._closed, WAIT_SECONDS)
        if not self._leases:
            return httpx.Response(204)
        self._idle = False
        lease = self._leases.popleft()
        self._given[lease.id] = lease
        return _json(200, lease)

    def _leased(self, lease: Lease, path: list[str], request: httpx.Request) -> httpx.Response:
        body = request.content
        match path:
            case ["heartbeat"]:
                heartbeat = Heartbeat.model_validate_json(body)
                self.heartbeats.setdefault(lease.id, []).append(heartbeat)
                directives = self.directives(heartbeat)
                reply = HeartbeatReply(
                    directives={w.id: directives.get(w.id, "continue") for w in lease.work},
                    val_top1_to_beat=self.val_top1_to_beat,
                )
                return _json(200, reply)
            case ["work", work_id, "weights"]:
                self.uploads[work_id] = body
                sha256 = hashlib.sha256(body).hexdigest()
                return _json(200, UploadReply(sha256=sha256, size_bytes=len(body)))
            case ["work", work_id, "checkpoint"] if request.method == "GET":
                if work_id not in self.checkpoints:
                    return problem(404, "blob_unknown", "there is no checkpoint")
                return httpx.Response(200, content=self.checkpoints[work_id][-1])
            case ["work", work_id, "checkpoint"]:
                checkpoint = Checkpoint.model_validate({**request.url.params})
                assert checkpoint.sha256 == hashlib.sha256(body).hexdigest()
                self.checkpoints.setdefault(work_id, []).append(body)
                return _json(200, UploadReply(sha256=checkpoint.sha256, size_bytes=len(body)))
            case ["work", work_id, "report"]:
                report: Report = TypeAdapter(Report).validate_json(body)
                if self.reports.setdefault(work_id, report) != report:
                    return problem(409, "report_conflict", "it was reported already")
                if all(work.id in self.reports for work in lease.work):
                    self._lost.add(lease.id)
                return _json(200, ReportReply())
            case ["release"]:
                self.released.append(lease.id)
                return httpx.Response(204)
        return problem(404, "not_found", "/".join(path))


def problem(status: int, code: str, detail: str) -> httpx.Response:
    """An error as the service sends it."""
    return _json(
        status,
        Problem(
            type=f"urn:lrsearch:problem:{code}",
            title=code.replace("_", " "),
            status=status,
            detail=detail,
            code=code,
        ),
    )


def _json(status: int, body: BaseModel) -> httpx.Response:
    return httpx.Response(status, content=body.model_dump_json())
