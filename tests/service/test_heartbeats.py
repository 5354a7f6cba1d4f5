"""Heartbeats: epochs come in, directives go out."""

import pytest

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import EpochFinished
from lrsearch.contract.leases import Epoch, Heartbeat
from lrsearch.contract.protocols import LastLayer
from lrsearch.errors import InvalidError
from lrsearch.leasing import heartbeats
from tests.service.rig import Rig, curve, one_database


def test_epochs_are_recorded_once_however_often_they_are_sent(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    rig.beat(lease, [0.3])
    rig.beat(lease, [0.3])
    rig.beat(lease, [0.3, 0.4])
    assert rig.trials(job)[0].curve == curve(0.3, 0.4)
    epochs = [e.body for e in rig.events(job) if isinstance(e.body, EpochFinished)]
    assert [body.metrics for body in epochs] == curve(0.3, 0.4)


def test_an_epoch_that_comes_twice_in_one_heartbeat_is_recorded_once(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    twice = [Epoch(work_id=lease.work[0].id, metrics=metrics) for metrics in 2 * curve(0.3, 0.4)]
    with rig.database.write() as session:
        beat = Heartbeat(epochs=twice)
        heartbeats.heartbeat(session, lease.id, lease.token, beat, rig.settings)
    assert rig.trials(job)[0].curve == curve(0.3, 0.4)
    assert sum(isinstance(event.body, EpochFinished) for event in rig.events(job)) == 2


def test_an_epoch_that_the_recipe_does_not_have_is_refused(rig: Rig) -> None:
    rig.submit(epochs=2)
    with pytest.raises(InvalidError, match="the recipe has 2 epochs"):
        rig.beat(rig.claim(), [0.3, 0.4, 0.5])


def test_epochs_of_a_final_test_are_refused(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    with pytest.raises(InvalidError, match="no trial"):
        rig.beat(rig.claim(), [0.3])


def test_the_reply_tells_the_accuracy_to_beat(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    assert rig.heartbeat(lease, {}).val_top1_to_beat is None
    rig.complete(lease, 0.6)
    rig.complete(rig.claim(), 0.5)
    assert rig.heartbeat(rig.claim(), {}).val_top1_to_beat == 0.6


@one_database
def test_a_poor_trial_is_pruned_by_the_median(rig: Rig) -> None:
    job = rig.submit(pruning="median", epochs=5)
    rig.complete(rig.claim(), 0.9)  # the baseline is no rival
    for _ in range(4):
        rig.complete(rig.claim(), 0.6)
    lease = rig.claim()
    assert rig.beat(lease, [0.6]) == "continue"
    lease = rig.claim()
    assert rig.beat(lease, [0.2]) == "prune"
    rig.end(lease, "pruned", 0.2)
    assert rig.trials(job)[6].state == "pruned"


@one_database
def test_a_poor_trial_is_pruned_at_a_rung_of_halving(rig: Rig) -> None:
    rig.submit(pruning="halving", epochs=9)
    for val_top1 in (0.9, 0.6, 0.7):
        rig.complete(rig.claim(), val_top1)
    lease = rig.claim()
    assert rig.beat(lease, [0.5]) == "prune"
    assert rig.beat(lease, [0.5, 0.5]) == "continue"  # between two rungs
    assert rig.beat(lease, [0.5, 0.5, 0.8]) == "continue"
    rig.release(lease)


@one_database
def test_the_baseline_is_never_pruned(rig: Rig) -> None:
    rig.submit(pruning="median", epochs=5)
    baseline = rig.claim()
    for _ in range(4):
        rig.complete(rig.claim(), 0.6)
    assert rig.beat(baseline, [0.1]) == "continue"


@one_database
def test_without_pruning_the_worst_trial_goes_on(rig: Rig) -> None:
    rig.submit(epochs=5)
    for _ in range(6):
        rig.complete(rig.claim(), 0.6)
    assert rig.beat(rig.claim(), [0.0, 0.0]) == "continue"


@one_database
def test_a_pruned_trial_tells_by_which_rule(rig: Rig) -> None:
    job = rig.submit(pruning="median", epochs=5)
    for _ in range(5):
        rig.complete(rig.claim(), 0.6)
    lease = rig.claim()
    rig.end(lease, "pruned", 0.2)
    assert rig.trials(job)[5].reason == (
        "best validation top-1 0.200 by epoch 1 is below the median 0.600 of 4 other trials"
    )


def test_running_trials_of_a_cancelled_job_are_told_to_cancel(rig: Rig) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim(max_trials=3)
    rig.cancel(job.id)
    reply = rig.heartbeat(lease, {lease.work[0].id: [0.9]})
    assert reply.directives == {work.id: "cancel" for work in lease.work}
    assert rig.trials(job)[1].curve == []


def test_running_trials_are_told_to_cancel_once_the_target_accuracy_is_reached(rig: Rig) -> None:
    job = rig.submit(budget=Budget(target_accuracy=0.8))
    rig.complete(rig.claim(), 0.5)
    running, reaching, released = (rig.claim() for _ in range(3))
    rig.release(released)
    rig.complete(reaching, 0.8)
    assert rig.beat(running, [0.4]) == "cancel"
    rig.end(running, "cancelled", 0.4)
    states = [trial.state for trial in rig.trials(job)]
    assert states == ["complete", "cancelled", "complete", "cancelled"]
    assert rig.trials(job)[3].reason == "the target accuracy 0.8 was reached"
    assert rig.job(job).state == "finalising"


def test_the_baseline_runs_even_when_the_target_accuracy_is_reached_before(rig: Rig) -> None:
    job = rig.submit(budget=Budget(target_accuracy=0.8))
    rig.release(rig.claim())
    baseline, reaching = rig.claim(), rig.claim()
    rig.lose(baseline)
    rig.complete(reaching, 0.8)
    assert [trial.state for trial in rig.trials(job)] == ["waiting", "complete"]
    rig.complete(rig.claim(), 0.5)
    assert rig.job(job).state == "finalising"


def test_a_trial_that_comes_back_after_the_target_was_reached_is_not_run_again(rig: Rig) -> None:
    job = rig.submit(budget=Budget(target_accuracy=0.8))
    rig.complete(rig.claim(), 0.5)
    running, reaching = rig.claim(), rig.claim()
    rig.complete(reaching, 0.8)
    rig.lose(running)
    assert rig.trials(job)[1].state == "cancelled"
    assert rig.job(job).state == "finalising"
