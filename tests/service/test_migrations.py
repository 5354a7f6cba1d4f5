"""The tables: made, brought up to date and removed; apart from Optuna's."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, select, text
from sqlalchemy.exc import IntegrityError

from lrsearch.access.keys import create_key, list_keys
from lrsearch.access.principals import SHARED
from lrsearch.contract.keys import KeyRequest, Limits
from lrsearch.db import migrate
from lrsearch.db.engine import Database
from lrsearch.db.migrate import LOCK_KEY, VERSION_TABLE, alembic_config, upgrade
from lrsearch.db.tables import DataSetRow, JobRow, SourceModelRow, Table
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from tests.postgres import SOMEBODY_WAITS
from tests.service.rig import Rig

PROCESSES = 6

OURS = {*Table.metadata.tables, VERSION_TABLE}


@pytest.fixture
def empty_database(empty_settings: Settings) -> Iterator[Database]:
    database = Database(empty_settings.database)
    yield database
    database.dispose()


@pytest.fixture
def ledger_engine(settings: Settings) -> Iterator[Engine]:
    engine = create_engine(settings.ledger)
    yield engine
    engine.dispose()


def test_an_empty_database_gets_all_tables_and_a_second_upgrade_changes_nothing(
    empty_settings: Settings, empty_database: Database
) -> None:
    upgrade(empty_settings)
    assert _tables(empty_database.engine) == OURS
    before = _source_models(empty_database)
    upgrade(empty_settings)
    assert _tables(empty_database.engine) == OURS
    assert _source_models(empty_database) == before
    assert "random" in before


def test_six_processes_that_upgrade_at_once_all_succeed(
    empty_settings: Settings, empty_database: Database
) -> None:
    context = get_context("forkserver")
    context.set_forkserver_preload(["lrsearch.db.migrate"])
    with ProcessPoolExecutor(
        PROCESSES, context, initializer=_meet_at, initargs=(context.Barrier(PROCESSES),)
    ) as pool:
        list(pool.map(_upgrade_together, [empty_settings] * PROCESSES))
    assert _tables(empty_database.engine) == OURS
    Ledger(empty_settings.ledger).storage.engine.dispose()  # which wants its tables at their head
    names = _source_models(empty_database)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_an_upgrade_waits_for_another_for_longer_than_requests_wait_for_a_lock(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "Database", partial(Database, locked_seconds=0.05))
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(settings.database_url, autocommit=True) as another,
    ):
        another.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        upgraded = pool.submit(upgrade, settings)
        while not upgraded.done() and another.execute(SOMEBODY_WAITS).fetchone() != (True,):
            pass
        another.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])
        upgraded.result()


def test_models_and_migrations_do_not_differ(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Table.metadata) == []


def test_down_to_base_and_up_again_leaves_optunas_tables_alone(
    settings: Settings, database: Database, ledger_engine: Engine
) -> None:
    version, optunas = _optuna_version(ledger_engine), _tables(ledger_engine, "optuna")
    assert {"alembic_version", "studies", "trials"} <= optunas
    with database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "base")
    assert _tables(database.engine) == {VERSION_TABLE}
    upgrade(settings)
    assert _tables(database.engine) == OURS
    assert _tables(ledger_engine, "optuna") == optunas
    assert _optuna_version(ledger_engine) == version
    assert "alembic_version" not in OURS
    assert VERSION_TABLE not in optunas


def test_jobs_of_before_there_were_recommendations_are_told_their_validation_images(
    settings: Settings, database: Database, rig: Rig
) -> None:
    job = rig.submit()
    with database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0004")
    upgrade(settings)
    with database.read() as session:
        assert session.get_one(JobRow, job.id).validation_images == 48


def test_what_a_key_had_made_before_there_were_owners_stays_its_own(
    settings: Settings, database: Database, rig: Rig
) -> None:
    with database.write() as session:
        key = create_key(session, KeyRequest(name="laboratory")).key
    job = rig.submit()
    with database.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0006")
        for statement in (
            "UPDATE data_sets SET owner = :id WHERE name = 'animals'",
            "UPDATE jobs SET owner_key = :id",
        ):
            connection.execute(text(statement), {"id": key.id})
    upgrade(settings)
    with database.read() as session:
        (kept,) = list_keys(session, None, limit=9).items
        assert (kept.id, kept.owner, kept.limits) == (key.id, key.id, Limits())
        assert session.get_one(JobRow, job.id).owner == kept.owner
        owners = dict(session.execute(select(DataSetRow.name, DataSetRow.owner)).all())
        assert owners == {"animals": kept.owner}
        shared = session.scalars(select(SourceModelRow.owner).distinct()).all()
        assert shared == [SHARED]


def test_owners_may_give_the_same_name_but_each_once(database: Database, rig: Rig) -> None:
    rig.add_data_set("birds", images_per_label=10, owner="ada")
    rig.add_data_set("birds", images_per_label=10, owner="bob")
    with pytest.raises(IntegrityError):
        rig.add_data_set("birds", images_per_label=10, owner="bob")


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
