"""The heart of a lease: a thread that keeps it alive, whatever the work is busy with."""

import random
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import structlog

from lrsearch.contract.leases import Directive, Epoch, Heartbeat, HeartbeatReply, Lease
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.errors import (
    LeaseLostError,
    ServiceAwayError,
    ServiceRefusedError,
    StoppedError,
)
from lrsearch_worker.retry import PATIENCE, Patience, persistently
from lrsearch_worker.service import Service
from lrsearch_worker.trial_logs import TRIAL_LOGS

Reply = TypeVar("Reply")
Command = Literal["stop", "close"]

log = structlog.get_logger(__name__)


class Heart:
    """Beats while its `with` block runs, and tells the work inside what the service wants.

    Epochs ride along with the next heartbeat, which is sent at once; those that do not arrive are
    sent again.

    Args:
        service: A connection that nobody else uses.
        lease: What to keep alive.
        patience: With a service that is away.
    """

    def __init__(self, service: Service, lease: Lease, patience: Patience = PATIENCE) -> None:
        self.over: Final = Event()
        """Set once the lease is lost, or the worker is told to stop."""
        self.ended: Final = Event()
        """Set once nothing more is sent: after a stop, the lease has been handed back by then."""
        self.val_top1_to_beat: float | None = None
        """The job's best so far, as far as is known."""
        self._service = service
        self._lease = lease
        self._patience = patience
        self._log = log.bind(lease=lease.id)
        self._inbox: SimpleQueue[Epoch | Command] = SimpleQueue()
        self._directives: dict[str, Directive] = {}
        self._unreported = {work.id for work in lease.work}
        self._speaking = Lock()
        self._lost = False
        # In our context: its lines in the log name the job too.
        self._thread = Thread(
            target=copy_context().run, args=(self._run,), name="heart", daemon=True
        )

    def __enter__(self) -> Self:
        TRIAL_LOGS.begin(self._lease)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inbox.put("close")
        self._thread.join()
        TRIAL_LOGS.end(self._lease)

    def beat(self, work_id: str, metrics: EpochMetrics) -> None:
        """Tell the service of a finished epoch."""
        self._inbox.put(Epoch(work_id=work_id, metrics=metrics))

    def directive(self, work_id: str) -> Directive:
        """What the service wants of a piece of work, as far as is known."""
        return self._directives.get(work_id, "continue")

    def stop(self) -> None:
        """Hand the lease back, at once and without waiting; a signal handler may call this."""
        self._inbox.put("stop")
        self.over.set()

    def check(self) -> None:
        """Say whether to go on.

        Raises:
            LeaseLostError: The lease is lost.
            StoppedError: The worker is to stop.
        """
        if self._lost:
            raise LeaseLostError
        if self.over.is_set():
            raise StoppedError

    def insist(self, request: Callable[[], Reply]) -> Reply:
        """Make a request for this lease, until the service is there or the lease is not.

        Raises:
            LeaseLostError: The lease is lost.
            StoppedError: The worker is to stop.
            ServiceRefusedError: As the request raises it.
        """

        def unless_over() -> Reply:
            self.check()
            return request()

        try:
            return persistently(unless_over, self.over, self._patience)
        except ServiceAwayError:
            self.check()
            raise
        except LeaseLostError as error:
            self._lose(error)
            raise

    def reported(self, work_id: str, request: Callable[[], object]) -> None:
        """Insist on a report. It goes out between two heartbeats; after the last there is none."""

        def alone() -> None:
            with self._speaking:
                request()
                self._unreported.discard(work_id)

        self.insist(alone)

    def _run(self) -> None:
        unsent: list[Epoch] = []
        failures = 0
        pause = self._lease.heartbeat_seconds
        try:
            while True:
                for message in self._arrivals(pause):
                    if isinstance(message, Epoch):
                        unsent.append(message)
                    elif message == "stop":
                        self._hand_back()
                        return
                    else:
                        return
                try:
                    unsent = self._beat(unsent)
                    if "pause" in self._directives.values():
                        self._pause_work()
                        return
                    if failures:
                        self._log.info("heartbeat delivered again", failures=failures)
                    failures, pause = 0, self._lease.heartbeat_seconds
                except ServiceAwayError as error:
                    if not failures:
                        self._log.warning("heartbeat not delivered", reason=str(error))
                    failures += 1
                    pause = self._pause_seconds(failures)
                except LeaseLostError as error:
                    self._lose(error)
                    return
        finally:
            self.ended.set()

    def _arrivals(self, seconds: float) -> list[Epoch | Command]:
        """All that has come, or comes first within `seconds`; commands before epochs."""
        found: list[Epoch | Command] = []
        try:
            found.append(self._inbox.get(timeout=seconds))
            while True:
                found.append(self._inbox.get_nowait())
        except Empty:
            return sorted(found, key=lambda message: isinstance(message, Epoch))

    def _beat(self, epochs: list[Epoch]) -> list[Epoch]:
        """Send a heartbeat; returns what is still to be sent, which is nothing."""
        with self._speaking:
            if not self._unreported:
                return []
            epochs = [epoch for epoch in epochs if epoch.work_id in self._unreported]
            logs = TRIAL_LOGS.pending(self._lease)
            logs = [log for log in logs if log.work_id in self._unreported]
            try:
                reply = self._service.heartbeat(self._lease, Heartbeat(epochs=epochs, logs=logs))
            except ServiceRefusedError as error:
                TRIAL_LOGS.delivered(self._lease, logs)  # else it would be refused again
                self._log.error("heartbeat refused", reason=str(error))
                return []
            TRIAL_LOGS.delivered(self._lease, logs)
        self._obey(reply)
        return []

    def _obey(self, reply: HeartbeatReply) -> None:
        self._directives = dict(reply.directives)
        self.val_top1_to_beat = reply.val_top1_to_beat

    def _pause_work(self) -> None:
        """Drop the work, and let another claim go on from its checkpoints."""
        self._lost = True
        self.over.set()
        self._log.info("job paused")
        with self._speaking:  # a report that is under way still counts
            self._hand_back()

    def _pause_seconds(self, failures: int) -> float:
        first, longest = self._patience
        bound = min(first * 2.0**failures, longest, self._lease.heartbeat_seconds)
        return random.uniform(bound / 2, bound)  # noqa: S311 - no secret

    def _lose(self, error: LeaseLostError) -> None:
        if not self._lost:
            self._lost = True
            self.over.set()
            self._log.warning("lease lost", reason=str(error))

    def _hand_back(self) -> None:
        try:
            self._service.release(self._lease)
        except (LeaseLostError, ServiceAwayError, ServiceRefusedError) as error:
            self._log.warning("lease not handed back", reason=str(error))
        else:
            self._log.info("lease handed back")
