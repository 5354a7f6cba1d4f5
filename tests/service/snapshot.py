"""All that a database holds, to see whether something has changed."""

from typing import Any

from sqlalchemy import select

from lrsearch.db.engine import Database
from lrsearch.db.tables import Table


def snapshot(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of our tables, by table."""
    with database.read() as session:
        return {
            name: [
                tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))
            ]
            for name, table in Table.metadata.tables.items()
        }
