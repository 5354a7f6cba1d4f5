"""Housekeeping: what each replica does in the background; any number of replicas may.

One thread puts back expired leases, tells the ledger and collects garbage; another validates data
sets, which can take minutes; a third tells webhooks, whose receivers may be slow.
"""

import threading
from collections.abc import Callable
from contextvars import copy_context
from time import monotonic

import structlog
from sqlalchemy import select, union
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lrsearch.checkpoints import checkpoint_store
from lrsearch.control import purge_deleted
from lrsearch.data_sets import validate_next
from lrsearch.db.engine import Database
from lrsearch.db.tables import DataSetRow, SourceModelRow, TrialRow, WorkRow
from lrsearch.leases import expire_leases
from lrsearch.metrics import STORE_BYTES
from lrsearch.outbox import drain_outbox, retry_set_aside
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore, Sweep
from lrsearch.webhooks import deliver_next

log = structlog.get_logger(__name__)

TIDY_SECONDS = 600.0
"""How often unreferenced blobs are removed, and the ledger is told again what it would not take."""

CHECKPOINT_GRACE_SECONDS = 120.0
"""A checkpoint is linked by the request that brings it, and large; losing one costs a restart."""


class Housekeeping:
    """The background threads of one replica."""

    def __init__(
        self, settings: Settings, database: Database, store: BlobStore, ledger: Ledger
    ) -> None:
        self._settings, self._database = settings, database
        self._store, self._ledger = store, ledger
        self._checkpoints = checkpoint_store(settings.data_dir)
        self._stop = threading.Event()
        self._wake = {name: threading.Event() for name in ("keep", "validate", "tell")}
        self._next_tidying = 0.0
        self._hear_workers_out()
        self._threads = [
            threading.Thread(target=self._loop, args=("keep", self.keep), name="housekeeping"),
            threading.Thread(target=self._loop, args=("validate", self._validate), name="validate"),
            threading.Thread(target=self._loop, args=("tell", self._tell), name="webhooks"),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something to do now."""
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
                if isinstance(error, OperationalError):  # it was away
                    self._hear_workers_out()
                log.warning("the database did not answer", thread=name, error=str(error)[:500])
            except Exception:
                log.exception("housekeeping failed", thread=name)
            self._wake[name].wait(self._settings.housekeeping_seconds)
            self._wake[name].clear()

    def keep(self) -> None:
        """What the first thread does again and again."""
        if monotonic() >= self._first_expiry:
            with self._database.write() as session:
                expired = expire_leases(session, self._settings)
            if expired:
                log.info("leases expired", leases=expired)
        if monotonic() >= self._next_tidying:
            self._next_tidying = monotonic() + TIDY_SECONDS
            retry_set_aside(self._database)
            swept = collect_garbage(self._database, self._store, self._settings)
            STORE_BYTES.labels("blobs").set(swept.kept_bytes)
            swept = collect_checkpoints(self._database, self._checkpoints, self._settings)
            STORE_BYTES.labels("checkpoints").set(swept.kept_bytes)
        purge_deleted(self._database, self._ledger)
        drain_outbox(self._database, self._ledger)

    def _hear_workers_out(self) -> None:
        """While we or the database were away no heartbeat could come: give each time for one."""
        self._first_expiry = monotonic() + self._settings.lease_seconds

    def _validate(self) -> None:
        while not self._stop.is_set() and validate_next(
            self._database, self._store, self._settings
        ):
            self._wake["keep"].set()

    def _tell(self) -> None:
        while not self._stop.is_set() and deliver_next(self._database, self._settings):
            pass


def collect_garbage(database: Database, store: BlobStore, settings: Settings) -> Sweep:
    """Remove old blobs that no row refers to."""
    references = (
        select(DataSetRow.upload_sha256),
        select(DataSetRow.content_sha256),
        select(SourceModelRow.weights_sha256),
        select(TrialRow.weights_sha256),
        select(WorkRow.upload_sha256).where(WorkRow.state == "leased"),
    )
    with database.read() as session:
        rows = session.scalars(union(*references))
        referenced = {sha256 for sha256 in rows if sha256 is not None}
    return store.collect(referenced, settings.blob_grace_seconds)


def collect_checkpoints(database: Database, store: BlobStore, settings: Settings) -> Sweep:
    """Remove checkpoints of trials that are over, and those never linked."""
    linked = select(TrialRow.checkpoint_sha256).where(TrialRow.checkpoint_sha256.is_not(None))
    with database.read() as session:
        referenced = {sha256 for sha256 in session.scalars(linked) if sha256 is not None}
    grace_seconds = min(settings.blob_grace_seconds, CHECKPOINT_GRACE_SECONDS)
    return store.collect(referenced, grace_seconds)
