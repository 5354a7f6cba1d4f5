"""The connection to the database, its transactions and its clock."""

import logging
import select as sockets
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.functions import FunctionElement

from lrsearch.db.appending import write_appended
from lrsearch.db.tables import Instant

_log = logging.getLogger(__name__)
"""Python's own, which raises nothing where it cannot write."""

_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""For SQLite, which one process owns: what PostgreSQL's advisory locks are elsewhere."""

_locks_guard = threading.Lock()

POOL_CONNECTIONS = 10
"""Kept open; in a storm there may be twice as many. A server takes 100, unless told otherwise."""

HUNG_SECONDS = 15.0
"""Rest of a transaction after which the server ends it: longer than any of ours computes."""

LOCKED_SECONDS = 5.0
"""After which a transaction no longer waits for what another has locked: somebody hangs there, and
whoever waits for it is missed elsewhere."""

AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
"""Errors of a database that cannot answer now, whoever asks what: it is to be asked again."""

LONGEST_WAIT_SECONDS = 1.0
"""For a job that somebody else has locked, where others can be seen to meanwhile."""


class Database:
    """Our own tables, on PostgreSQL or SQLite.

    Args:
        url: Where they are.
        hung_seconds: After so long without a statement a transaction is ended, on PostgreSQL: a
            replica that hangs, or whose machine is gone, would keep its jobs locked for all others.
        locked_seconds: After so long a transaction gives up what another keeps locked, on
            PostgreSQL, see `waited_in_vain`; 0: never.
    """

    def __init__(
        self,
        url: URL,
        hung_seconds: float = HUNG_SECONDS,
        locked_seconds: float = LOCKED_SECONDS,
    ) -> None:
        self.url = url
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = create_engine(url, pool_size=POOL_CONNECTIONS, max_overflow=POOL_CONNECTIONS)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _configure_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            limits = hung_seconds, locked_seconds
            event.listen(self.engine, "connect", partial(_configure_postgresql, limits))
            event.listen(self.engine, "checkout", _require_open)
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(
            self.engine.execution_options(lrsearch_write=True), expire_on_commit=False
        )
        write_appended(self._write)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is committed at the end, or rolled back by an exception."""
        with self._write.begin() as session:
            yield session
        for act in session.info.pop(_ACTS, ()):
            try:
                act()
            except Exception:  # as where nobody reads the log any more: what is written stands
                _log.exception("what was to follow a transaction failed")

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Whether we, of all processes that share the database, may do the named thing now.

        It is ours until the block ends; on PostgreSQL it also ends with the connection.
        """
        if self.is_sqlite:
            with _locks_guard:
                lock = _locks[f"{self.url.database} {name}"]
            mine = lock.acquire(blocking=False)
            try:
                yield mine
            finally:
                if mine:
                    lock.release()
            return
        key = int.from_bytes(sha256(name.encode()).digest()[:8], signed=True)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            mine = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))
            try:
                yield mine
            finally:
                if mine:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": key})

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def after_commit(session: Session, act: Callable[[], object]) -> None:
    """Do something once what `Database.write` writes is there for all to see, and only then.

    Where it fails, that is logged; it undoes nothing.
    """
    here = copy_context()  # which says what lines in the log are about
    session.info.setdefault(_ACTS, []).append(lambda: here.run(act))


_ACTS = "lrsearch_acts"
"""Where a session keeps what is to be done then."""


class Clock(FunctionElement[datetime]):
    """The database's clock at the moment when the statement that asks for it is run."""

    type = Instant()
    inherit_cache = True


def database_now(session: Session) -> datetime:
    """The database's clock, which all replicas share, read once in a transaction.

    Whoever waits for a lock asks behind it: what lies between the first look and the end of a
    transaction is milliseconds, what lies before may be seconds.
    """
    transaction = session.get_transaction()
    read_in, now = session.info.get(_CLOCK, (None, None))
    if now is None or read_in is not transaction:
        now = session.execute(select(Clock())).scalar_one()
        note_clock(session, now)
    return cast(datetime, now)


def wait_at_most(session: Session, seconds: float) -> None:
    """Have this transaction wait for a lock no longer, on PostgreSQL, instead of `LOCKED_SECONDS`.

    What it was to do then fails, see `waited_in_vain`.
    """
    if session.get_bind().dialect.name == "postgresql":
        milliseconds = str(round(1000.0 * seconds))
        session.execute(text("SELECT set_config('lock_timeout', :ms, true)"), {"ms": milliseconds})


def waited_in_vain(error: Exception) -> bool:
    """Whether an error says that a lock was not to be had in time."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlstate", None) == "55P03"  # lock_not_available


def note_clock(session: Session, now: datetime) -> None:
    """Take what a statement behind the lock has read of `Clock` for the transaction's time."""
    session.info[_CLOCK] = session.get_transaction(), now


_CLOCK = "lrsearch_clock"
"""Where a session keeps what it has read, and in which transaction."""


@compiles(Clock, "postgresql")
def _clock_postgresql(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(Clock, "sqlite")
def _clock_sqlite(*_: Any, **__: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f', 'now')"


def _require_open(connection: Any, *_: Any) -> None:
    """Refuse a pooled connection that its server has closed; the pool then opens new ones.

    A server says nothing unasked: what can be read of a connection that rests is its end. This
    costs no message to the server, which a ping would for every transaction.
    """
    readable = sockets.poll()
    if not connection.closed:
        readable.register(connection.fileno(), sockets.POLLIN)
        if not readable.poll(0):
            return
    raise DisconnectionError("the server has closed the connection")


def _configure_postgresql(limits: tuple[float, float], connection: Any, _: Any) -> None:
    connection.execute(
        "SELECT set_config('idle_in_transaction_session_timeout', %s, false), "
        "set_config('lock_timeout', %s, false)",
        [str(round(1000.0 * seconds)) for seconds in limits],
    )
    connection.commit()


def _configure_sqlite(connection: Any, _: Any) -> None:
    # The driver's own way of beginning transactions is switched off: see `_begin_sqlite`.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "busy_timeout=30000",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A read that turns into a write would fail at once with "database is locked".
    writes = connection.get_execution_options().get("lrsearch_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
