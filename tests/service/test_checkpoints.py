"""Checkpoints: what a trial's next attempt goes on from, and what becomes of its curve."""

import os
import time
from collections.abc import Callable
from hashlib import sha256

import pytest

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import EpochFinished, TrialPutBack, TrialStarted
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import Checkpoint, Lease, TrialWork
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.trials import EpochMetrics
from lrsearch.db.tables import TrialRow
from lrsearch.errors import ConflictError, InvalidError
from lrsearch.leasing.checkpoints import checkpoint_store, held_checkpoint, note_checkpoint
from lrsearch.search.budget import SAFETY
from lrsearch.upkeep.garbage import CHECKPOINTS, collect_garbage
from tests.service.rig import Rig, curve


def checkpoint_given(lease: Lease) -> Checkpoint | None:
    (work,) = lease.work
    assert isinstance(work, TrialWork)
    return work.checkpoint


def linked(rig: Rig, job: Job) -> list[str | None]:
    with rig.database.read() as session:
        rows = [session.get_one(TrialRow, trial.id) for trial in rig.trials(job)]
        assert all((r.checkpoint_sha256 is None) == (r.checkpoint_epochs is None) for r in rows)
        return [row.checkpoint_sha256 for row in rows]


def told(rig: Rig, job: Job) -> list[EpochMetrics]:
    """The curve of trial 0 as one keeps it who follows the events."""
    kept: list[EpochMetrics] = []
    for event in rig.events(job):
        match event.body:
            case EpochFinished(metrics=metrics):
                assert metrics.epoch <= len(kept) + 1, "an epoch is missing"
                kept = [*kept[: metrics.epoch - 1], metrics]
            case TrialPutBack(epochs_kept=epochs):
                kept = kept[:epochs]
    return kept


@pytest.mark.parametrize(("lose", "attempts"), [(Rig.lose, 2), (Rig.release, 1)])
def test_a_lost_trial_is_handed_out_again_with_its_checkpoint(
    rig: Rig, lose: Callable[[Rig, Lease], None], attempts: int
) -> None:
    job = rig.submit(epochs=5)
    first = rig.claim()
    assert checkpoint_given(first) is None
    rig.beat(first, [0.1, 0.2])
    rig.checkpoint(first, 1)
    latest = rig.checkpoint(first, 2)
    lose(rig, first)
    second = rig.claim()
    assert second.work[0].id == first.work[0].id
    assert checkpoint_given(second) == latest
    trial = rig.trials(job)[0]
    assert (trial.attempts, trial.curve) == (attempts, curve(0.1, 0.2))
    put_back, started = [event.body for event in rig.events(job)[-2:]]
    assert isinstance(put_back, TrialPutBack)
    assert put_back.epochs_kept == 2
    assert isinstance(started, TrialStarted)
    assert started.epochs_done == 2


def test_epochs_that_only_the_report_of_the_next_attempt_brings_are_told(rig: Rig) -> None:
    job = rig.submit(epochs=5)
    first = rig.claim()
    rig.beat(first, [0.1, 0.2, 0.3])
    rig.checkpoint(first, 2)
    rig.lose(first)
    before = len(rig.events(job))
    rig.end(rig.claim(), "pruned", 0.1, 0.2, 0.4, 0.5)
    assert told(rig, job) == rig.trials(job)[0].curve == curve(0.1, 0.2, 0.4, 0.5)
    again = [e.body for e in rig.events(job, after=before) if isinstance(e.body, EpochFinished)]
    assert [body.metrics.epoch for body in again] == [3, 4]


def test_epochs_behind_the_checkpoint_leave_the_curve_and_are_told_again(rig: Rig) -> None:
    job = rig.submit(epochs=5)
    first = rig.claim()
    rig.beat(first, [0.1, 0.2, 0.3, 0.4])
    rig.checkpoint(first, 2)
    rig.lose(first)
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.1, 0.2)
    second = rig.claim()
    rig.beat(second, [0.1, 0.2, 0.3])
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.1, 0.2, 0.3)
    rig.beat(second, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.1, 0.2, 0.3, 0.4, 0.5)
    epochs = [e.body.metrics.epoch for e in rig.events(job) if isinstance(e.body, EpochFinished)]
    assert epochs == [1, 2, 3, 4, 3, 4, 5]


def test_a_checkpoint_that_comes_before_its_epochs_loses_none_of_them(rig: Rig) -> None:
    job = rig.submit(epochs=5)
    first = rig.claim()
    rig.beat(first, [0.1])
    rig.checkpoint(first, 3)
    rig.lose(first)
    rig.beat(rig.claim(), [0.1, 0.2, 0.3, 0.4])
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.1, 0.2, 0.3, 0.4)


def test_a_trial_that_begins_anew_all_the_same_has_only_its_new_curve(rig: Rig) -> None:
    job = rig.submit(epochs=5)
    first = rig.claim()
    rig.beat(first, [0.1, 0.2, 0.3])
    rig.checkpoint(first, 3)
    rig.lose(first)
    second = rig.claim()
    rig.beat(second, [0.15])
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.15)
    rig.beat(second, [0.15, 0.2])
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.15, 0.2)
    rig.checkpoint(second, 1)
    rig.lose(second)
    assert rig.trials(job)[0].curve == told(rig, job) == curve(0.15)


def test_a_resumed_trial_reports_its_whole_curve(rig: Rig) -> None:
    job = rig.submit(epochs=4)
    first = rig.claim()
    rig.beat(first, [0.5, 0.5])
    rig.checkpoint(first, 2)
    rig.lose(first)
    second = rig.claim()
    rig.beat(second, [0.5, 0.5, 0.5])
    rig.complete(second, 0.5, seconds=7.0)
    trial = rig.trials(job)[0]
    assert (trial.state, trial.curve, trial.seconds) == ("complete", curve(0.5, 0.5, 0.5, 0.5), 7.0)


@pytest.mark.parametrize(
    "end",
    [
        lambda rig, job, lease: rig.complete(lease, 0.5),
        lambda rig, job, lease: rig.end(lease, "diverged", 0.5),
        lambda rig, job, lease: rig.cancel(job.id),
        lambda rig, job, lease: [rig.lose(lease), rig.cancel(job.id)],
        lambda rig, job, lease: [rig.lose(lease), rig.lose(rig.claim()), rig.lose(rig.claim())],
    ],
    ids=["complete", "diverged", "cancelled", "cancelled while it waits", "given up"],
)
def test_a_trial_that_is_over_has_no_checkpoint(
    rig: Rig, end: Callable[[Rig, Job, Lease], object]
) -> None:
    job = rig.submit()
    lease = rig.claim()
    checkpoint = rig.checkpoint(lease, 1)
    assert linked(rig, job) == [checkpoint.sha256]
    end(rig, job, lease)
    assert linked(rig, job) == [None]


def test_checkpoints_that_no_trial_goes_on_from_are_collected(rig: Rig) -> None:
    store = checkpoint_store(rig.settings.data_dir)
    job = rig.submit()
    running, over = rig.claim(), rig.claim()
    checkpoints = [rig.checkpoint(running, 1), rig.checkpoint(over, 1)]
    never_linked = sha256(b"of a worker that lost its lease").hexdigest()
    files = [store.path(sha) for sha in [*(c.sha256 for c in checkpoints), never_linked]]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"state")
        os.utime(file, (time.time() - 600.0,) * 2)
    assert _collected(rig) == len(b"state")
    rig.end(over, "diverged")
    assert _collected(rig) == len(b"state")
    assert [file.exists() for file in files] == [True, False, False]
    rig.cancel(job.id)
    assert _collected(rig) == len(b"state")


def test_a_checkpoint_tells_which_one_it_replaces(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    (work,) = lease.work
    one, two = (Checkpoint(sha256=digit * 64, epochs=int(digit)) for digit in "12")
    with rig.database.write() as session:
        assert note_checkpoint(session, lease.id, lease.token, work.id, one) is None
        assert note_checkpoint(session, lease.id, lease.token, work.id, one) is None
        assert note_checkpoint(session, lease.id, lease.token, work.id, two) == one.sha256


def test_only_the_holder_of_the_trial_is_told_of_its_checkpoint(rig: Rig) -> None:
    rig.submit()
    first, other = rig.claim(), rig.claim()
    checkpoint = rig.checkpoint(first, 1)
    rig.lose(first)
    second = rig.claim()
    with rig.database.write() as session:
        held = held_checkpoint(session, second.id, second.token, second.work[0].id)
        assert held == checkpoint.sha256
        assert held_checkpoint(session, other.id, other.token, other.work[0].id) is None
    for lease_id, token in ((first.id, first.token), (second.id, other.token)):
        with rig.database.write() as session, pytest.raises(ConflictError) as caught:
            held_checkpoint(session, lease_id, token, first.work[0].id)
        assert caught.value.code == "lease_lost"


def test_a_checkpoint_cannot_hold_more_epochs_than_there_are(rig: Rig) -> None:
    rig.submit(epochs=2)
    with pytest.raises(InvalidError, match="the recipe has 2 epochs"):
        rig.checkpoint(rig.claim(), 3)


def test_a_final_test_takes_no_checkpoint(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    with pytest.raises(ConflictError) as caught:
        rig.checkpoint(rig.claim(), 1)
    assert caught.value.code == "report_conflict"


def test_a_lost_attempt_leaves_the_reservation_as_it_was_and_its_lost_seconds_count_nowhere(
    rig: Rig,
) -> None:
    job = rig.submit(budget=Budget(seconds=100.0), epochs=4)
    rig.complete(rig.claim(), 0.4, seconds=10.0)  # the baseline
    first = rig.claim()
    rig.complete(first, 0.5, seconds=20.0)
    lost = rig.claim()
    limit = SAFETY * 20.0
    assert _limit(lost) == limit
    rig.beat(lost, [0.5, 0.5, 0.5])
    rig.checkpoint(lost, 2)
    rig.lose(lost)
    heir = rig.claim()
    assert _limit(heir) == limit
    rig.complete(heir, 0.5, seconds=22.0)  # of them, say, 11 before the checkpoint
    assert rig.job(job).spent.seconds == 10.0 + 20.0 + 22.0
    assert rig.job(job).spent.epochs == 2 * 4


def test_a_waiting_trial_that_is_cancelled_has_spent_the_epochs_of_its_checkpoint(rig: Rig) -> None:
    job = rig.submit(budget=Budget(epochs=10), epochs=5)
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    rig.beat(lease, [0.5, 0.5, 0.5])
    rig.checkpoint(lease, 2)
    rig.lose(lease)
    rig.cancel(job.id)
    assert rig.job(job).spent.epochs == 2
    assert [len(trial.curve) for trial in rig.trials(job)] == [5, 2]


def _limit(lease: Lease) -> float | None:
    (work,) = lease.work
    assert isinstance(work, TrialWork)
    return work.seconds_limit


def _collected(rig: Rig) -> int | None:
    """Bytes of checkpoints that a collection removes."""
    [found] = [it for it in collect_garbage(rig.database, rig.settings) if it.kind == CHECKPOINTS]
    return found.bytes
