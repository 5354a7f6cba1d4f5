"""What is no longer wanted goes, and nothing else; a dry run only says what would."""

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from lrsearch.contract.jobs import Job
from lrsearch.contract.logs import LogLine
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.webhooks import Webhook
from lrsearch.db.engine import database_now
from lrsearch.db.tables import DataSetRow, JobRow, LeaseRow, TrialLogRow, WorkerRow
from lrsearch.errors import NotFoundError
from lrsearch.jobs.control import purge_deleted
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep.garbage import collect_garbage
from tests.service.rig import Rig
from tests.service.snapshot import snapshot
from tests.service.test_trial_logs import NOON, send

SETTINGS = Settings.model_fields.keys()  # so that no test mistypes one

LONG_AGO = timedelta(days=1000)


def collect(rig: Rig, *, dry_run: bool = False, **settings: float) -> dict[str, int]:
    """How much of each kind there was, where there was any."""
    assert settings.keys() <= SETTINGS
    chosen = rig.settings.model_copy(update=settings)
    found = collect_garbage(rig.database, chosen, dry_run=dry_run)
    return {garbage.kind: garbage.number for garbage in found if garbage.number}


def grow_old(rig: Rig, table: Any, *columns: str) -> None:
    """Let all rows be of long ago."""
    with rig.database.write() as session:
        then = database_now(session) - LONG_AGO
        session.execute(update(table).values(dict.fromkeys(columns, then)))


def finished_job(rig: Rig, **request: Any) -> Job:
    job = rig.submit(protocol=LastLayer(ll=[0.02]), **request)
    rig.run()
    return job


def old_file(path: Path) -> Path:
    """One that was written long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    os.utime(path, (time.time() - 10 * 86_400.0,) * 2)
    return path


def test_by_default_jobs_and_data_sets_are_kept_for_ever(rig: Rig) -> None:
    job = finished_job(rig)
    grow_old(rig, JobRow, "created_at", "finished_at")
    grow_old(rig, DataSetRow, "created_at")
    assert collect(rig) == {}
    assert rig.job(job).state == "complete"


def test_finished_jobs_go_when_their_time_is_over(rig: Rig) -> None:
    ledger = Ledger(rig.settings.ledger)
    job = finished_job(rig)
    running = rig.submit()
    assert collect(rig, keep_jobs_days=30.0) == {}
    grow_old(rig, JobRow, "created_at", "finished_at")
    with rig.database.write() as session:
        session.get_one(JobRow, running.id).finished_at = None
    assert collect(rig, keep_jobs_days=30.0) == {"finished jobs": 1}
    with pytest.raises(NotFoundError):
        rig.job(job)
    assert purge_deleted(rig.database, ledger) == 1
    assert rig.job(running).state == "waiting"
    ledger.storage.engine.dispose()


def test_a_job_whose_webhook_has_not_been_told_stays(rig: Rig) -> None:
    job = rig.submit(webhook=Webhook(url="https://example.org/", secret="x" * 16))
    rig.cancel(job.id)
    grow_old(rig, JobRow, "finished_at")
    assert collect(rig, keep_jobs_days=30.0) == {}


def test_the_weights_of_a_deleted_job_go_in_the_same_pass_unless_another_has_the_same(
    rig: Rig,
) -> None:
    store = BlobStore(rig.settings.data_dir)
    job, other = finished_job(rig), finished_job(rig)
    own = old_file(store.path(rig.result(job).weights_sha256))
    others = old_file(store.path(rig.result(other).weights_sha256))
    assert collect(rig) == {}
    rig.delete(job)
    assert collect(rig) == {"files and unfinished uploads": 1}
    assert (own.exists(), others.exists()) == (False, True)


def test_uploads_never_finished_go(rig: Rig) -> None:
    store = BlobStore(rig.settings.data_dir)
    draft = old_file(store.incoming / "tmpabc")
    fresh = store.incoming / "tmpdef"
    fresh.write_bytes(b"half")
    assert collect(rig) == {"files and unfinished uploads": 1}
    assert (draft.exists(), fresh.exists()) == (False, True)


def test_old_data_sets_go_unless_a_job_uses_them(rig: Rig) -> None:
    rig.add_data_set("plants", images_per_label=100)
    finished_job(rig)
    grow_old(rig, DataSetRow, "created_at")
    assert collect(rig, keep_data_sets_days=30.0) == {"data sets without a job": 1}
    assert rig.submit().request.data_set == "animals"
    with pytest.raises(NotFoundError):
        rig.submit(data_set="plants")


def test_old_leases_and_workers_go_and_the_trials_stay(rig: Rig) -> None:
    job = finished_job(rig)
    worker = rig.worker(name="still-there")
    waiting = rig.submit()
    rig.claim(worker)
    before = rig.trials(job)
    grow_old(rig, LeaseRow, "created_at")
    with rig.database.write() as session:
        then = database_now(session) - LONG_AGO
        session.execute(
            update(WorkerRow).where(WorkerRow.name != "still-there").values(seen_at=then)
        )
    assert collect(rig, keep_leases_days=30.0) == {
        "leases that are over": 3,
        "workers that are gone": 1,
    }
    assert rig.trials(job) == before
    assert rig.trials(waiting)[0].state == "running"


def test_old_logs_go(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    send(rig, lease, LogLine(number=1, at=NOON, level="info", text="it began"))
    assert collect(rig, keep_logs_days=30.0) == {}
    grow_old(rig, TrialLogRow, "began_at")
    assert collect(rig, keep_logs_days=30.0) == {"logs of trials": 1}


def test_a_dry_run_says_the_same_and_changes_nothing(rig: Rig) -> None:
    store = BlobStore(rig.settings.data_dir)
    job = finished_job(rig)
    weights = old_file(store.path(rig.result(job).weights_sha256))
    old_file(store.incoming / "tmpabc")
    for table, column in ((JobRow, "finished_at"), (LeaseRow, "created_at")):
        grow_old(rig, table, column)
    before = snapshot(rig.database)
    said = collect(rig, dry_run=True, keep_jobs_days=30.0)
    assert said == {
        "finished jobs": 1,
        "leases that are over": 3,
        "files and unfinished uploads": 2,
    }
    assert snapshot(rig.database) == before
    assert weights.exists()
    assert collect(rig, keep_jobs_days=30.0) == said
    assert not weights.exists()
