"""Leases: the fence, expiry, and release."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import TrialPutBack
from lrsearch.contract.leases import Claim, Lease
from lrsearch.contract.protocols import LastLayer
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import LeaseRow
from lrsearch.errors import ConflictError, NotFoundError
from lrsearch.jobs.jobs import lock_job
from lrsearch.leasing import put_back
from lrsearch.leasing.claims import Asked, claim_leases
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep import housekeeping
from lrsearch.upkeep.housekeeping import Housekeeping
from tests.service.rig import Rig
from tests.service.snapshot import snapshot

MESSAGES: dict[str, Callable[[Rig, Lease], object]] = {
    "heartbeat": lambda rig, lease: rig.beat(lease, [0.9]),
    "upload": lambda rig, lease: rig.upload(lease, lease.work[0], "late"),
    "checkpoint": lambda rig, lease: rig.checkpoint(lease, 1),
    "report": lambda rig, lease: rig.end(lease, "diverged", 0.9),
    "release": lambda rig, lease: rig.release(lease),
}


def _forged(rig: Rig, lease: Lease) -> Lease:
    return lease.model_copy(update={"token": "another"})


def _expired(rig: Rig, lease: Lease) -> Lease:
    rig.lose(lease)
    return lease


def _succeeded(rig: Rig, lease: Lease) -> Lease:
    rig.lose(lease)
    rig.beat(rig.claim(), [0.4])
    return lease


def _released(rig: Rig, lease: Lease) -> Lease:
    rig.release(lease)
    return lease


def _reported(rig: Rig, lease: Lease) -> Lease:
    rig.complete(lease, 0.5)
    return lease


def _cancelled(rig: Rig, lease: Lease) -> Lease:
    assert lease.task is not None
    rig.cancel(lease.task.job_id)
    return lease


@pytest.mark.parametrize(
    ("lose", "refused"),
    [
        (_forged, ["heartbeat", "upload", "checkpoint", "report", "release"]),
        (_expired, ["heartbeat", "upload", "checkpoint", "report", "release"]),
        (_succeeded, ["heartbeat", "upload", "checkpoint", "report", "release"]),
        (_released, ["heartbeat", "upload", "checkpoint", "report", "release"]),
        (_reported, ["heartbeat", "upload", "checkpoint", "release"]),
        (_cancelled, ["upload", "checkpoint", "report", "release"]),
    ],
)
def test_a_worker_without_its_lease_is_told_so_and_changes_nothing(
    rig: Rig, lose: Callable[[Rig, Lease], Lease], refused: list[str]
) -> None:
    rig.submit()
    lease = lose(rig, rig.claim())
    before = snapshot(rig.database)
    for message in refused:
        with pytest.raises(ConflictError) as caught:
            MESSAGES[message](rig, lease)
        assert caught.value.code == "lease_lost"
        assert snapshot(rig.database) == before


def test_a_lease_or_work_that_does_not_exist_is_not_found(rig: Rig) -> None:
    rig.submit()
    lease, other = rig.claim(), rig.claim()
    unknown = lease.model_copy(update={"id": "018f0000-0000-7000-8000-000000000000"})
    with pytest.raises(NotFoundError) as caught:
        rig.beat(unknown)
    assert caught.value.code == "lease_unknown"
    with pytest.raises(NotFoundError) as caught:
        rig.upload(lease, other.work[0])
    assert caught.value.code == "work_unknown"


def test_an_expired_trial_waits_again_and_says_why(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim(rig.worker(name="gpu-7"))
    rig.beat(lease, [0.3])
    rig.lose(lease)
    trial = rig.trials(job)[0]
    assert (trial.state, trial.attempts, trial.curve) == ("waiting", 1, [])
    lost = "attempt 1 of 3 was lost: worker gpu-7 was not heard of for 30 s"
    assert trial.reason == lost
    assert rig.events(job)[-1].body == TrialPutBack(trial=0, reason=lost)
    assert rig.claim().work[0].id == trial.id
    assert rig.trials(job)[0].attempts == 2


def test_a_trial_that_is_lost_three_times_has_failed_and_the_job_goes_on(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    for _ in range(3):
        rig.lose(rig.claim())
    baseline = rig.trials(job)[0]
    assert baseline.state == "failed"
    assert baseline.attempts == 3
    assert str(baseline.reason).startswith("lost 3 times; the last time worker")
    assert baseline.val_top1 is None
    rig.run()
    assert [trial.state for trial in rig.trials(job)] == ["failed", "complete"]
    assert rig.job(job).state == "complete"


def test_only_what_is_not_reported_is_put_back(rig: Rig) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.4)
    lease = rig.claim(max_trials=3)
    rig.complete(lease, 0.5, work=lease.work[1])
    rig.lose(lease)
    states = [trial.state for trial in rig.trials(job)]
    assert states == ["complete", "waiting", "complete", "waiting"]


def test_a_release_puts_the_work_back_without_counting_the_attempt(rig: Rig) -> None:
    job = rig.submit()
    for _ in range(5):
        lease = rig.claim()
        rig.beat(lease, [0.3])
        rig.release(lease)
        trial = rig.trials(job)[0]
        assert (trial.state, trial.attempts, trial.curve) == ("waiting", 0, [])
    assert trial.reason == "the worker was stopped and handed it back"


def test_a_lease_of_whom_its_worker_never_heard_is_given_out_again_at_its_next_claim(
    rig: Rig,
) -> None:
    job = rig.submit()
    worker = rig.worker()
    for _ in range(5):  # the replies to all of these get lost
        unheard = rig.try_claim(worker, holds=[])
        assert unheard is not None
        assert [(trial.state, trial.attempts) for trial in rig.trials(job)] == [("running", 1)]
    heard = rig.try_claim(worker, holds=[])
    assert heard is not None
    assert [work.id for work in heard.work] == [work.id for work in unheard.work]
    rig.complete(heard, 0.5)
    with pytest.raises(ConflictError) as caught:
        rig.complete(unheard, 0.5)
    assert caught.value.code == "lease_lost"
    said = [event.body.reason for event in rig.events(job) if isinstance(event.body, TrialPutBack)]
    assert said == 5 * ["the worker did not hear that it was given out"]


def test_a_claim_leaves_the_leases_that_its_worker_knows_of_and_those_of_others(rig: Rig) -> None:
    rig.submit()
    rig.complete(rig.claim(), 0.5)
    worker = rig.worker()
    mine, others = rig.claim(worker), rig.claim()
    assert rig.try_claim(worker, holds=[mine.id]) is not None
    assert rig.try_claim(worker, holds=None) is not None
    assert rig.beat(mine) == rig.beat(others) == "continue"


def test_a_claim_says_nothing_of_leases_that_were_given_out_after_it_came_in(rig: Rig) -> None:
    """As one that a replica finds when it goes on after a rest, and its worker has asked again."""
    job = rig.submit()
    worker = rig.worker()
    late = Asked(Claim(worker_id=worker, holds=[]))
    lease = rig.try_claim(worker, holds=[])
    assert lease is not None
    claim_leases(rig.database, [late], rig.settings)
    rig.complete(lease, 0.5)
    assert rig.trials(job)[0].val_top1 == 0.5


def test_a_lease_that_somebody_has_sent_a_heartbeat_for_is_not_unheard_of(rig: Rig) -> None:
    rig.submit()
    rig.complete(rig.claim(), 0.5)
    worker = rig.worker()
    lease = rig.claim(worker)
    rig.beat(lease, [0.3])
    assert rig.try_claim(worker, holds=[]) is not None
    assert rig.beat(lease, [0.3, 0.4]) == "continue"


def test_a_heartbeat_keeps_the_lease(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    for _ in range(5):
        rig.pass_time(lease, 0.9 * lease.lease_seconds)
        assert rig.expire_leases() == 0
        assert rig.beat(lease) == "continue"


def test_a_late_heartbeat_saves_a_lease_that_nobody_has_taken_back_yet(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    rig.pass_time(lease, lease.lease_seconds + 1.0)
    assert rig.beat(lease) == "continue"
    assert rig.expire_leases() == 0


def test_expiry_follows_the_databases_clock(rig: Rig) -> None:
    rig.submit()
    before = _now(rig.database)
    lease = rig.claim()
    after = _now(rig.database)
    with rig.database.read() as session:
        expires_at = session.get_one(LeaseRow, lease.id).expires_at
    validity = timedelta(seconds=lease.lease_seconds)
    assert before + validity <= expires_at <= after + validity


def test_a_final_test_and_a_check_of_a_model_are_put_back_too(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    final = rig.claim()
    rig.lose(final)
    assert rig.claim().work == final.work
    rig.register_source_model("checked")
    check = rig.claim()
    assert check.task is None
    rig.lose(check)
    assert rig.claim().work == check.work


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_job_that_somebody_keeps_locked_holds_up_no_other_jobs_expiry(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_back, "LONGEST_WAIT_SECONDS", 0.05)
    jobs = [rig.submit(budget=Budget(trials=1)) for _ in range(3)]
    leases = [rig.claim() for _ in range(6)]
    for lease in leases[::2]:  # the baselines'
        rig.pass_time(lease, rig.settings.lease_seconds + 1.0)
    with rig.database.write() as session:
        assert lock_job(session, jobs[1].id) is not None
        assert rig.expire_leases() == 2
    assert [rig.trials(job)[0].state for job in jobs] == ["waiting", "running", "waiting"]
    assert rig.expire_leases() == 1


def test_a_replica_that_has_just_started_hears_the_workers_out(
    settings: Settings, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 1000.0
    monkeypatch.setattr(housekeeping, "monotonic", lambda: clock)
    ledger = Ledger(settings.ledger)
    keeper = Housekeeping(settings, rig.database, BlobStore(settings.data_dir), ledger)
    job = rig.submit()
    lease = rig.claim()
    rig.pass_time(lease, 3600.0)  # no replica was there for an hour
    keeper.keep()
    assert rig.trials(job)[0].state == "running"
    assert rig.beat(lease) == "continue"
    rig.pass_time(lease, 3600.0)
    clock += settings.lease_seconds
    keeper.keep()
    assert rig.trials(job)[0].state == "waiting"
    ledger.storage.engine.dispose()


def _now(database: Database) -> datetime:
    with database.read() as session:
        return database_now(session)
