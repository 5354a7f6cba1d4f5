"""Rows that are only ever added: the events, the epochs and the outbox, most of what is written.

They wait for the session's next flush and are then written together, one statement a table, without
all that the unit of work does for an object which might be read, changed or removed again.
"""

from collections import defaultdict
from functools import cache
from typing import Any

from sqlalchemy import Insert, event, insert
from sqlalchemy.orm import Session, sessionmaker

from lrsearch.db.tables import Table

Rows = defaultdict[type[Table], list[dict[str, Any]]]
"""Values by column, for each table."""


def append_row(session: Session, table: type[Table], **values: Any) -> None:
    """Add a row, which is written behind the objects that the session has by then.

    Args:
        session: Of `Database.write`; what is appended is for queries to see where it has other
            changes too, and at its commit at the latest. A savepoint that is rolled back behind it
            may take it along, or leave it though it was appended within.
        table: The row's.
        values: By column; those of one table have the same columns.
    """
    session.info.setdefault(_APPENDED, Rows(list))[table].append(values)


def write_appended(sessions: sessionmaker[Session]) -> None:
    """Have such sessions write what is appended to them."""
    event.listen(sessions, "after_flush", _write)
    event.listen(sessions, "before_commit", _write_all)


_APPENDED = "lrsearch_appended"
"""Where a session keeps what waits."""


def _write(session: Session, *_: Any) -> None:
    rows: Rows = session.info.pop(_APPENDED, {})
    for table, values in rows.items():
        session.connection().execute(_insertion(table), values)


def _write_all(session: Session) -> None:
    session.flush()
    _write(session)  # where nothing else was there to be flushed


@cache
def _insertion(table: type[Table]) -> Insert:
    return insert(table)
