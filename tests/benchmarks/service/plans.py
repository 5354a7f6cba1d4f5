"""How the database goes about the hot queries: their plans, and what they read in full."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import psycopg
from sqlalchemy import Connection, event

from lrsearch.db.engine import Database

LARGE: Final = frozenset({"jobs", "trials", "epochs", "work", "leases", "events"})
"""Tables that grow with everything that was ever finished."""

Plan = dict[str, Any]
"""A node of PostgreSQL's `EXPLAIN (FORMAT JSON)`."""


class Explained(NamedTuple):
    """A query and its plan."""

    query: str
    plan: Plan


@contextmanager
def explaining(database: Database) -> Iterator[list[Explained]]:
    """Collect the plans of all that is asked of a database in the block, by this process."""
    found: list[Explained] = []

    def explain(connection: Connection, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.split(None, 1)[0].upper() not in ("SELECT", "UPDATE", "DELETE", "WITH"):
            return
        driver = connection.connection.driver_connection
        with psycopg.ClientCursor(driver) as cursor:  # PostgreSQL cannot prepare an EXPLAIN
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            [[[explained]]] = cursor.fetchall()
        found.append(Explained(" ".join(statement.split()), explained["Plan"]))

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)


def figures_of(actions: dict[str, Callable[[], object]], database: Database) -> dict[str, Any]:
    """For each named action: how many queries it makes, and which read a large table in full."""
    figures = {}
    for name, act in actions.items():
        with explaining(database) as found:
            act()
        scans = [
            {"query": explained.query, "tables": tables}
            for explained in found
            if (tables := sorted(set(scanned(explained.plan)) & LARGE))
        ]
        figures[name] = {"queries": len(found), "sequential_scans": scans}
    return figures


def scanned(plan: Plan) -> list[str]:
    """Tables that a plan reads from the first row to the last, in whatever node of it."""
    own = [plan["Relation Name"]] if plan["Node Type"].endswith("Seq Scan") else []
    return own + [table for inner in plan.get("Plans", []) for table in scanned(inner)]
