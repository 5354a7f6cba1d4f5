"""The worker's loop: register, claim, run, again."""

from contextlib import suppress
from threading import Event
from typing import Protocol

import structlog

from lrsearch.contract.leases import Claim, Lease
from lrsearch.contract.workers import WorkerRegistration
from lrsearch_worker.errors import (
    LeaseLostError,
    ServiceAwayError,
    StoppedError,
    WorkerUnknownError,
)
from lrsearch_worker.heart import Heart
from lrsearch_worker.retry import PATIENCE, Patience, persistently
from lrsearch_worker.service import Service

log = structlog.get_logger(__name__)


class Runs(Protocol):
    """Does the work of leases: `lrsearch_worker.leases.Runner`, which needs torch as we do not."""

    def run(self, lease: Lease, heart: Heart) -> None:
        """Do all the work of a lease, and report each piece.

        Raises:
            LeaseLostError: The lease is lost; what has not been reported is another's to do.
            StoppedError: The worker is to stop; the same.
            DeviceLostError: The device is of no more use to this process.
        """


class Loop:
    """Works until it is stopped.

    Args:
        service: The loop's own connection.
        hearts_service: Another one, for heartbeats.
        runner: Runs the leases' work.
        registration: What the worker says of itself.
        max_trials: Trials that a lease may hold.
        patience: With a service that is away.
    """

    def __init__(
        self,
        service: Service,
        hearts_service: Service,
        runner: Runs,
        registration: WorkerRegistration,
        max_trials: int = 1,
        patience: Patience = PATIENCE,
    ) -> None:
        self._service = service
        self._hearts_service = hearts_service
        self._runner = runner
        self._registration = registration
        self._max_trials = max_trials
        self._patience = patience
        self._stopping = Event()
        self._heart: Heart | None = None

    def run(self) -> None:
        """Register, then claim and run leases until `stop` is called from elsewhere.

        Raises:
            ServiceRefusedError: The service does not let this worker in.
            DeviceLostError: The device is of no more use to this process.
        """
        try:
            worker_id = self._register()
            while not self._stopping.is_set():
                try:
                    lease = self._claim(worker_id)
                except WorkerUnknownError:
                    log.warning("worker unknown to the service; registering again")
                    self._stopping.wait(self._patience.first_seconds)
                    worker_id = self._register()
                    continue
                if lease is not None:
                    self._run(lease)
        except ServiceAwayError:
            if not self._stopping.is_set():
                raise

    def stop(self) -> None:
        """End `run` soon, and hand a lease back at once; a signal handler may call this."""
        self._stopping.set()
        if self._heart is not None:
            self._heart.stop()

    def wait_until_handed_back(self, seconds: float) -> None:
        """After `stop`: wait until nothing more will be sent for a lease."""
        heart = self._heart
        if heart is not None:
            heart.ended.wait(seconds)

    def _register(self) -> str:
        worker = persistently(
            lambda: self._service.register(self._registration), self._stopping, self._patience
        )
        log.info(
            "registered",
            worker=worker.id,
            name=worker.name,
            device=worker.device.kind,
            device_name=worker.device.name,
        )
        return worker.id

    def _claim(self, worker_id: str) -> Lease | None:
        claim = Claim(worker_id=worker_id, max_trials=self._max_trials, holds=[])
        return persistently(lambda: self._service.claim(claim), self._stopping, self._patience)

    def _run(self, lease: Lease) -> None:
        job = lease.task.job_id if lease.task else None
        with (
            structlog.contextvars.bound_contextvars(job=job, lease=lease.id),
            Heart(self._hearts_service, lease, self._patience) as heart,
        ):
            log.info("lease claimed", work=[work.kind for work in lease.work])
            self._heart = heart
            if self._stopping.is_set():  # since before the heart could be told
                heart.stop()
            with suppress(LeaseLostError, StoppedError):  # the heart has said so
                self._runner.run(lease, heart)
