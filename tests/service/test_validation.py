"""Jobs on data sets that are still validated: they wait, then begin or fail."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from lrsearch import data_sets, validation
from lrsearch.access.principals import NOBODY
from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import JobFinished
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.leases import ProbeWork, TrialWork
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.splits import Splits
from lrsearch.db.engine import Database
from lrsearch.db.tables import DataSetRow, JobRow
from lrsearch.errors import ConflictError
from lrsearch.intake.validate import build_data_set
from lrsearch.jobs.jobs import lock_job
from lrsearch.jobs.submission import submit_job
from lrsearch.store import BlobStore
from lrsearch.validation import validate_next
from tests.api.samples import silhouettes, zip_of
from tests.postgres import SOMEBODY_WAITS
from tests.service.rig import Rig, one_database


@pytest.fixture
def store(rig: Rig) -> BlobStore:
    return BlobStore(rig.settings.data_dir)


def send(rig: Rig, store: BlobStore, archive: bytes, name: str = "birds") -> None:
    """Upload an archive, to be validated."""
    file: Path = rig.settings.data_dir / "archive"
    file.write_bytes(archive)
    blob = store.add(file)
    with rig.database.write() as session:
        data_sets.add_upload(session, name, blob, NOBODY)


def validate(rig: Rig, store: BlobStore) -> None:
    """Do what housekeeping does."""
    assert validate_next(rig.database, store, rig.settings)


def test_a_job_waits_for_its_data_set_and_then_begins(rig: Rig, store: BlobStore) -> None:
    send(rig, store, zip_of(silhouettes()))
    job = rig.submit(data_set="birds", probe=True, images_per_label=5)
    waiting = rig.job(job)
    assert (waiting.state, waiting.reason_code) == ("waiting", "data_set_validating")
    assert waiting.reason == ("data set 'birds' is still being validated; 0 files were looked at")
    assert rig.trials(job) == []
    assert rig.try_claim() is None

    validate(rig, store)
    assert rig.job(job).reason_code == "worker_free"
    assert [trial.state for trial in rig.trials(job)] == ["waiting"]
    lease = rig.claim(max_trials=4)
    assert [type(work) for work in lease.work] == [ProbeWork, TrialWork]
    assert lease.task is not None
    assert lease.task.images_per_label == 5
    rig.release(lease)
    rig.run()
    assert rig.job(job).state == "complete"


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_validation_outwaits_who_keeps_a_job_locked(rig: Rig, store: BlobStore) -> None:
    send(rig, store, zip_of(silhouettes()))
    job = rig.submit(data_set="birds")
    impatient = Database(rig.settings.database, locked_seconds=0.05)
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(rig.settings.database_url, autocommit=True) as server,
    ):
        with rig.database.write() as session:
            assert lock_job(session, job.id) is not None
            validated = pool.submit(validate_next, impatient, store, rig.settings)
            while not validated.done() and server.execute(SOMEBODY_WAITS).fetchone() != (True,):
                pass
        assert validated.result()
    impatient.dispose()
    assert [trial.state for trial in rig.trials(job)] == ["waiting"]


@one_database
def test_its_splits_are_those_of_a_job_submitted_later(rig: Rig, store: BlobStore) -> None:
    recipe = Recipe(epochs=2, splits=Splits(validation=0.16, test=0.5))
    send(rig, store, zip_of(silhouettes()))
    request = JobRequest(
        data_set="birds", source_model="random", strategy="exhaustive", recipe=recipe, confirm=False
    )
    with rig.database.write() as session:
        early, _ = submit_job(session, request, NOBODY, None)
    validate(rig, store)
    with rig.database.write() as session:
        late, _ = submit_job(session, request, NOBODY, None)
    with rig.database.read() as session:
        rows = [session.get_one(JobRow, job.id) for job in (early, late)]
        sizes = {(row.test_images, row.validation_images) for row in rows}
    assert sizes == {(30, 9)}


def test_a_job_fails_with_the_reason_why_its_data_set_is_rejected(
    rig: Rig, store: BlobStore
) -> None:
    send(rig, store, zip_of(silhouettes(labels=1)))
    jobs = [rig.submit(data_set="birds") for _ in range(2)]
    rig.change(jobs[1], paused=True)
    validate(rig, store)
    for job in jobs:
        failed = rig.job(job)
        assert (failed.state, failed.reason_code) == ("failed", None)
        assert failed.reason is not None
        assert failed.reason.startswith("data set 'birds' was rejected: There is one label only")
        assert rig.events(job)[-1].body == JobFinished(state="failed", reason=failed.reason)
    with pytest.raises(ConflictError, match="rejected"):
        rig.submit(data_set="birds")


@pytest.mark.parametrize(
    ("images", "images_per_label", "reason"),
    [(20, 14, "images_per_label: 14 is more than there is"), (1, None, "too few images")],
)
@one_database
def test_a_job_fails_that_the_validated_data_set_does_not_fit(
    rig: Rig, store: BlobStore, images: int, images_per_label: int | None, reason: str
) -> None:
    send(rig, store, zip_of(silhouettes(images=images)))
    job = rig.submit(data_set="birds", images_per_label=images_per_label)
    fits = rig.submit(data_set="birds") if images > 1 else None
    validate(rig, store)
    failed = rig.job(job)
    assert failed.state == "failed"
    assert reason in (failed.reason or "")
    assert fits is None or rig.job(fits).reason_code == "no_worker"


def test_what_was_changed_meanwhile_holds(rig: Rig, store: BlobStore) -> None:
    send(rig, store, zip_of(silhouettes()))
    cancelled, deleted, paused, cheaper = (rig.submit(data_set="birds") for _ in range(4))
    rig.cancel(cancelled.id)
    rig.delete(deleted)
    assert rig.change(paused, paused=True).reason_code == "paused"
    assert rig.change(cheaper, budget=Budget(trials=2)).reason_code == "data_set_validating"
    assert rig.try_claim() is None

    validate(rig, store)
    assert rig.trials(cancelled) == []
    assert rig.job(paused).reason_code == "paused"
    rig.run()
    ended = rig.job(cheaper)
    assert (ended.state, ended.trials_finished) == ("complete", 3)
    assert rig.trials(paused)[0].state == "waiting"
    rig.change(paused, paused=False)
    rig.run()
    assert rig.job(paused).state == "complete"


def test_a_job_that_is_submitted_at_the_last_moment_is_not_forgotten(
    rig: Rig, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, submitted = Event(), Event()

    def build(*args: Any) -> Any:
        begun.set()
        assert submitted.wait(60.0)
        return build_data_set(*args)

    monkeypatch.setattr(validation, "build_data_set", build)
    send(rig, store, zip_of(silhouettes()))
    request = JobRequest(data_set="birds", source_model="random")
    with ThreadPoolExecutor(1) as other:
        validated = other.submit(validate_next, rig.database, store, rig.settings)
        assert begun.wait(60.0)
        with rig.database.write() as session:
            job, _ = submit_job(session, request, NOBODY, None)
            session.flush()
            submitted.set()
        assert validated.result()
    assert [trial.state for trial in rig.trials(job)] == ["waiting"]


def test_a_database_that_goes_away_meanwhile_is_not_the_images_fault(
    rig: Rig, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(rig, store, zip_of(silhouettes()))
    job = rig.submit(data_set="birds")
    away = OperationalError("SELECT", {}, Exception("it restarts"))
    with monkeypatch.context() as patch:
        patch.setattr(validation, "begin_job", Mock(side_effect=away))
        validate(rig, store)
    assert rig.job(job).reason_code == "data_set_validating"
    with rig.database.write() as session:  # it is some other replica's turn
        session.execute(update(DataSetRow).values(validator_until=None))
    validate(rig, store)
    assert [trial.state for trial in rig.trials(job)] == ["waiting"]
