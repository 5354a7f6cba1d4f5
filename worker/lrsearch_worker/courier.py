"""The courier: a thread that takes checkpoints to the service while training goes on."""

import hashlib
from collections.abc import Callable
from contextvars import Context, copy_context
from threading import Condition, Thread
from time import perf_counter
from types import TracebackType
from typing import Final, NamedTuple, Self

import structlog

from lrsearch.contract.leases import Checkpoint, Lease, TrialWork
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.engine.checkpoints import Progress, TrainingState, to_bytes
from lrsearch_worker.errors import LeaseLostError, ServiceAwayError, ServiceRefusedError
from lrsearch_worker.service import Service

REST: Final = 4.0
"""Pause after an upload, in the time that it took: a slow line is left to others mostly."""

log = structlog.get_logger(__name__)


class Courier:
    """Takes the latest checkpoint of each trial; training never waits for it.

    An upload that fails is logged, and the next checkpoint is as good. Any thread may call any
    method.

    Args:
        service: A connection that nobody else uses.
        checkpoint_seconds: How long a trial runs from one checkpoint to the next; 0 means that it
            has one after every epoch.
    """

    def __init__(self, service: Service, checkpoint_seconds: float) -> None:
        self.checkpoint_seconds = checkpoint_seconds
        self._service = service
        self._changed = Condition()
        self._parcels: dict[str, _Parcel] = {}
        self._thread: Thread | None = None
        self._closed = False

    def send(self, lease: Lease, work: TrialWork, progress: Progress) -> None:
        """Have a checkpoint taken, instead of the trial's earlier one if that still lies here."""
        with self._changed:
            self._parcels[work.id] = _Parcel(lease, work, progress, copy_context())
            if self._thread is None:
                self._thread = Thread(target=self._run, name="courier", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def forget(self, work: TrialWork) -> None:
        """Drop what is still to be taken of a trial: it is over."""
        with self._changed:
            self._parcels.pop(work.id, None)

    def close(self) -> None:
        """End the thread, after the upload that is under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        rest_seconds = 0.0
        while (parcel := self._next(rest_seconds)) is not None:
            started = perf_counter()
            parcel.context.run(self._deliver, parcel)
            rest_seconds = REST * (perf_counter() - started)

    def _next(self, rest_seconds: float) -> "_Parcel | None":
        """After a rest, what has waited longest; none once the courier is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, rest_seconds)
            self._changed.wait_for(lambda: self._closed or self._parcels)
            return None if self._closed else self._parcels.pop(next(iter(self._parcels)))

    def _deliver(self, parcel: "_Parcel") -> None:
        started = perf_counter()
        epochs = parcel.progress.training.epochs
        said = log.bind(trial=parcel.work.number, epochs=epochs)
        try:
            content = to_bytes(parcel.work, parcel.progress)
            checkpoint = Checkpoint(sha256=hashlib.sha256(content).hexdigest(), epochs=epochs)
            self._service.upload_checkpoint(parcel.lease, parcel.work.id, checkpoint, content)
        except LeaseLostError:
            return  # the heart says so
        except ServiceRefusedError as error:
            if error.code != "report_conflict":  # which says that the trial has ended meanwhile
                said.warning("checkpoint refused", reason=str(error))
        except ServiceAwayError as error:
            said.warning("checkpoint not uploaded", reason=str(error))
        except Exception:
            said.exception("checkpoint not uploaded")
        else:
            seconds = round(perf_counter() - started, 2)
            said.info("checkpoint uploaded", bytes=len(content), seconds=seconds)


class Saver:
    """Saves one trial from time to time, for as long as its `with` block lasts.

    Args:
        courier: Takes the checkpoints.
        lease: Under which the trial runs.
        work: The trial.
        progress: Of an earlier attempt, to go on from.
    """

    def __init__(
        self, courier: Courier, lease: Lease, work: TrialWork, progress: Progress | None = None
    ) -> None:
        self.progress = progress
        self._courier = courier
        self._lease = lease
        self._work = work
        self._saved_at = 0.0

    def __enter__(self) -> Self:
        self._saved_at = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._courier.forget(self._work)

    def between_epochs(
        self, curve: list[EpochMetrics], seconds: float, state: Callable[[], TrainingState]
    ) -> None:
        """Save the trial, if it is time.

        Args:
            curve: All epochs so far.
            seconds: Spent on the trial so far.
            state: Copies the training's state.
        """
        if perf_counter() - self._saved_at >= self._courier.checkpoint_seconds:
            self._saved_at = perf_counter()
            self._courier.send(self._lease, self._work, Progress([*curve], seconds, state()))


class _Parcel(NamedTuple):
    lease: Lease
    work: TrialWork
    progress: Progress
    context: Context
    """With the name of the job for the log."""
