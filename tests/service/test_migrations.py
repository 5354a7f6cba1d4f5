"""The tables: made, brought up to date and removed; apart from Optuna's."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from lrsearch.db.engine import Database
from lrsearch.db.migrate import VERSION_TABLE, alembic_config, upgrade
from lrsearch.db.tables import Table
from lrsearch.settings import Settings

PROCESSES = 6

OURS = {*Table.metadata.tables, VERSION_TABLE}


@pytest.fixture
def empty_database(empty_settings: Settings) -> Iterator[Database]:
    database = Database(empty_settings.database)
    yield database
    database.dispose()


@pytest.fixture
def ledger_engine(empty_settings: Settings) -> Iterator[Engine]:
    engine = create_engine(empty_settings.ledger)
    yield engine
    engine.dispose()


def test_an_empty_database_gets_all_tables(
    empty_settings: Settings, empty_database: Database
) -> None:
    upgrade(empty_settings)
    assert _tables(empty_database.engine) == OURS


def test_an_upgrade_again_changes_nothing(
    empty_settings: Settings, empty_database: Database
) -> None:
    upgrade(empty_settings)
    before = _source_models(empty_database)
    upgrade(empty_settings)
    assert _tables(empty_database.engine) == OURS
    assert _source_models(empty_database) == before
    assert "random" in before


def test_six_processes_that_upgrade_at_once_all_succeed(
    empty_settings: Settings, empty_database: Database, ledger_engine: Engine
) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(["lrsearch.db.migrate"])
    with ProcessPoolExecutor(
        PROCESSES, context, initializer=_meet_at, initargs=(context.Barrier(PROCESSES),)
    ) as pool:
        list(pool.map(_upgrade_together, [empty_settings] * PROCESSES))
    assert _tables(empty_database.engine) == OURS
    assert "studies" in _tables(ledger_engine, "optuna")
    names = _source_models(empty_database)
    assert len(names) == len(set(names))


def test_down_to_base_and_up_again(empty_settings: Settings, empty_database: Database) -> None:
    upgrade(empty_settings)
    with empty_database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert _tables(empty_database.engine) == {VERSION_TABLE}
    upgrade(empty_settings)
    assert _tables(empty_database.engine) == OURS


def test_models_and_migrations_do_not_differ(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Table.metadata) == []


def test_optunas_tables_and_its_version_stay_apart(
    empty_settings: Settings, empty_database: Database, ledger_engine: Engine
) -> None:
    upgrade(empty_settings)
    version = _optuna_version(ledger_engine)
    with empty_database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert {"alembic_version", "studies", "trials"} <= _tables(ledger_engine, "optuna")
    upgrade(empty_settings)
    assert _optuna_version(ledger_engine) == version
    assert "alembic_version" not in _tables(empty_database.engine)
    assert VERSION_TABLE not in _tables(ledger_engine, "optuna")


def _tables(engine: Engine, schema: str = "public") -> set[str]:
    return set(
        inspect(engine).get_table_names(schema if engine.dialect.name == "postgresql" else None)
    )


def _source_models(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(text("SELECT name FROM source_models ORDER BY name")))


def _optuna_version(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT version_num FROM alembic_version")))


def _meet_at(barrier: Barrier) -> None:
    global _barrier
    _barrier = barrier


def _upgrade_together(settings: Settings) -> None:
    _barrier.wait(timeout=60)
    upgrade(settings)


_barrier: Barrier
