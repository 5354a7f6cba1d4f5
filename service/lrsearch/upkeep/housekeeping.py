"""Housekeeping: what each replica does in the background; any number of replicas may.

One thread puts back expired leases and collects garbage; another validates data sets, which can
take minutes; a third tells webhooks, whose receivers may be slow; a fourth tells the ledger, which
may be far behind after a storm.
"""

import threading
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lrsearch.db.engine import Database, waited_in_vain
from lrsearch.jobs.control import purge_deleted
from lrsearch.leasing.put_back import expire_leases
from lrsearch.metrics import STORE_BYTES
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep.garbage import BLOBS, CHECKPOINTS, collect_garbage
from lrsearch.upkeep.outbox import drain_outbox, retry_set_aside
from lrsearch.upkeep.storm import Storm
from lrsearch.upkeep.webhooks import deliver_next
from lrsearch.validation import validate_next

log = structlog.get_logger(__name__)

TIDY_SECONDS = 600.0
"""How often unreferenced blobs are removed, and the ledger is told again what it would not take."""

REST_SECONDS = 0.25
"""Pause after each round. News in a quiet moment is acted on at once; where every request brings
news, a round for each would take the time that the requests need."""

YIELD_FACTOR = 30.0
"""Seconds that the ledger is left alone for each second of telling it, in a storm."""

MOST_YIELDED_SECONDS = 3.0
"""At a time: what is shown in the dashboard may be behind, but goes on."""


class Housekeeping:
    """The background threads of one replica."""

    def __init__(
        self, settings: Settings, database: Database, store: BlobStore, ledger: Ledger
    ) -> None:
        self._settings, self._database = settings, database
        self._store, self._ledger = store, ledger
        self._stop = threading.Event()
        self._wake = {name: threading.Event() for name in ("keep", "validate", "tell", "mirror")}
        self._next_tidying = 0.0
        self._storm = Storm()
        self._hear_workers_out()
        self._threads = [
            threading.Thread(target=self._loop, args=("keep", self.keep), name="housekeeping"),
            threading.Thread(target=self._loop, args=("validate", self._validate), name="validate"),
            threading.Thread(target=self._loop, args=("tell", self._tell), name="webhooks"),
            threading.Thread(target=self._loop, args=("mirror", self._mirror), name="ledger"),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something to do now."""
        self._storm.note()
        for event in self._wake.values():
            event.set()

    def stop(self) -> None:
        """End after what is being done now."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join()

    def _loop(self, name: str, work: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                copy_context().run(work)
            except SQLAlchemyError as error:  # a database that restarts comes back
                if isinstance(error, OperationalError) and not waited_in_vain(error):  # it was away
                    self._hear_workers_out()
                log.warning("the database did not answer", thread=name, error=str(error)[:500])
            except Exception:
                log.exception("housekeeping failed", thread=name)
            self._stop.wait(REST_SECONDS)
            self._wake[name].wait(self._settings.housekeeping_seconds)
            self._wake[name].clear()

    def keep(self) -> None:
        """What the first thread does again and again."""
        if monotonic() >= self._first_expiry and (
            expired := expire_leases(self._database, self._settings)
        ):
            log.info("leases expired", leases=expired)
        if monotonic() >= self._next_tidying:
            self._next_tidying = monotonic() + TIDY_SECONDS
            retry_set_aside(self._database)
            self._tidy()
        purge_deleted(self._database, self._ledger)

    def _hear_workers_out(self) -> None:
        """While we or the database were away no heartbeat could come: give each time for one."""
        self._first_expiry = monotonic() + self._settings.lease_seconds

    def _validate(self) -> None:
        while not self._stop.is_set() and validate_next(
            self._database, self._store, self._settings
        ):
            self._wake["keep"].set()

    def _tidy(self) -> None:
        found = collect_garbage(self._database, self._settings)
        for kind, name in ((BLOBS, "blobs"), (CHECKPOINTS, "checkpoints")):
            [kept_bytes] = [it.kept_bytes for it in found if it.kind == kind]
            STORE_BYTES.labels(name).set(kept_bytes or 0)
        if removed := {it.kind: it.number for it in found if it.number}:
            log.info("garbage collected", **removed)

    def _mirror(self) -> None:
        # Apart from `keep`: leases must expire in time, however much there is to tell.
        drain_outbox(self._database, self._ledger, self._give_way, self._stop.is_set)

    def _give_way(self, seconds: float) -> None:
        """After so many seconds of telling: in a storm of requests, these come first."""
        if self._storm.rages():
            self._stop.wait(min(YIELD_FACTOR * seconds, MOST_YIELDED_SECONDS))

    def _tell(self) -> None:
        while not self._stop.is_set() and deliver_next(self._database, self._settings):
            pass
