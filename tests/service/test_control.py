"""Control of jobs that run: pause, priority, budget, deletion."""

from datetime import timedelta
from typing import Any

import pytest
from optuna.storages import RDBStorage

from lrsearch.access.principals import NOBODY
from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import JobChanged, JobFinished, TrialPutBack
from lrsearch.contract.leases import FinalWork, Lease
from lrsearch.contract.protocols import LastLayer
from lrsearch.db.tables import TrialRow
from lrsearch.errors import ConflictError, InvalidError, NotFoundError
from lrsearch.jobs import jobs
from lrsearch.jobs.control import purge_deleted
from lrsearch.search.ledger import Ledger
from lrsearch.upkeep.outbox import drain_outbox
from tests.service.rig import Rig, one_database
from tests.service.snapshot import snapshot


def directives(rig: Rig, lease: Lease) -> list[str | None]:
    """What a heartbeat of the lease is answered, piece by piece; null for what is reported."""
    found = rig.heartbeat(lease, {}).directives
    return [found.get(work.id) for work in lease.work]


def test_a_paused_job_is_given_to_nobody_until_it_goes_on(rig: Rig) -> None:
    paused, other = rig.submit(priority=1), rig.submit()
    assert rig.change(paused, paused=True).paused
    lease = rig.claim()
    assert lease.task is not None
    assert lease.task.job_id == other.id
    assert not rig.change(paused, paused=False).paused
    lease = rig.claim()
    assert lease.task is not None
    assert lease.task.job_id == paused.id


def test_a_paused_jobs_trials_are_handed_back_and_go_on_from_their_checkpoints(rig: Rig) -> None:
    job = rig.submit(epochs=3)
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    rig.beat(lease, [0.3])
    checkpoint = rig.checkpoint(lease, 1)
    rig.change(job, paused=True)
    assert directives(rig, lease) == ["pause"]
    rig.release(lease)
    trial = rig.trials(job)[1]
    assert (trial.state, trial.attempts, len(trial.curve)) == ("waiting", 0, 1)
    assert rig.events(job)[-1].body == TrialPutBack(
        trial=1, reason="the job was paused", epochs_kept=1
    )
    assert rig.try_claim() is None
    rig.change(job, paused=False)
    [work] = rig.claim().work
    assert work.kind == "trial"
    assert (work.id, work.checkpoint) == (trial.id, checkpoint)


def test_probe_baseline_and_final_test_are_paused_too(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=LastLayer(ll=[0.01]))
    lease = rig.claim()
    rig.change(job, paused=True)
    assert directives(rig, lease) == ["pause", "pause"]
    rig.release(lease)
    rig.change(job, paused=False)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    rig.release(lease)  # the probe
    final = rig.claim()
    assert isinstance(final.work[0], FinalWork)
    rig.change(job, paused=True)
    assert directives(rig, final) == ["pause"]


def test_a_report_that_overtakes_the_pause_counts(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    lease = rig.claim()
    rig.change(job, paused=True)
    rig.complete(lease, 0.5)
    assert rig.trials(job)[0].state == "complete"
    assert rig.try_claim() is None
    assert rig.job(job).state == "running"
    rig.change(job, paused=False)
    rig.run()
    assert rig.job(job).state == "complete"


def test_a_paused_job_tells_so(rig: Rig) -> None:
    job = rig.submit(name="birds")
    lease = rig.claim(rig.worker(name="gpu-7"))
    rig.change(job, paused=True)
    shown, trial = rig.job(job), rig.trials(job)[0]
    assert (shown.reason_code, trial.reason_code) == ("paused", "paused")
    assert shown.reason == "paused; the baseline runs on gpu-7 until the next heartbeat"
    assert trial.reason == "the job is paused; it runs on gpu-7 until the next heartbeat"
    rig.release(lease)
    shown, trial = rig.job(job), rig.trials(job)[0]
    assert (shown.reason_code, trial.reason_code) == ("paused", "paused")
    assert shown.reason == "paused; it goes on with: lrsearch resume birds"
    assert trial.reason == "the job is paused"


def test_another_priority_counts_from_the_next_claim_on(rig: Rig) -> None:
    first, second = rig.submit(), rig.submit()
    changed = rig.change(second, priority=7)
    assert changed.request.priority == 7
    lease = rig.claim()
    assert lease.task is not None
    assert lease.task.job_id == second.id
    assert rig.job(first).request.priority == 0


def test_changes_are_told(rig: Rig) -> None:
    job = rig.submit(priority=1, budget=Budget(trials=4))
    rig.change(job, priority=2, paused=True)
    rig.change(job, budget=Budget(trials=3))
    assert [event.body for event in rig.events(job)] == [
        JobChanged(paused=True, priority=2, budget=Budget(trials=4)),
        JobChanged(paused=True, priority=2, budget=Budget(trials=3)),
    ]


def test_a_raised_budget_lets_an_exhausted_search_go_on(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=1))
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    assert rig.try_claim() is None
    assert rig.change(job, budget=Budget(trials=3)).trials_planned == 4
    rig.complete(lease, 0.6)
    rig.run(lambda work: 0.5)
    assert [trial.number for trial in rig.trials(job)] == [0, 1, 2, 3]
    assert rig.job(job).state == "complete"


def test_trials_beyond_a_lowered_budget_end_the_last_begun_first(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=5))
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim(max_trials=4)
    waiting = rig.claim()
    rig.release(waiting)
    changed = rig.change(job, budget=Budget(trials=2))
    assert changed.trials_planned == 3
    assert rig.trials(job)[5].state == "cancelled"  # nobody runs it
    assert directives(rig, lease) == ["continue", "continue", "cancel", "cancel"]
    report = rig.complete(lease, 0.6, work=lease.work[0])
    for work in lease.work[2:]:
        rig.report(
            lease,
            work,
            report.model_copy(
                update={"outcome": "cancelled", "curve": [], "weights_sha256": None, "reason": "x"}
            ),
        )
    rig.complete(lease, 0.5, work=lease.work[1])
    states = [trial.state for trial in rig.trials(job)]
    assert states == ["complete"] * 3 + ["cancelled"] * 3
    reasons = {trial.reason for trial in rig.trials(job)[3:]}
    assert reasons == {"the budget was lowered to 2 trials"}
    assert rig.job(job).spent.epochs == 4
    rig.run()
    assert rig.job(job).state == "complete"


def test_epochs_beyond_a_lowered_budget_are_given_back(rig: Rig) -> None:
    job = rig.submit(epochs=10, budget=Budget(epochs=40))
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim(max_trials=4)
    rig.heartbeat(lease, {work.id: [0.3, 0.4] for work in lease.work})
    rig.change(job, budget=Budget(epochs=25))
    # 40 are reserved: the last two trials give back 8 each.
    assert directives(rig, lease) == ["continue", "continue", "cancel", "cancel"]
    for work in lease.work[2:]:
        _cancelled(rig, lease, work.id, 0.3, 0.4)
    assert directives(rig, lease)[:2] == ["continue", "continue"]
    assert rig.job(job).spent.epochs == 24


def test_a_trial_ends_where_a_lowered_budget_of_seconds_does(rig: Rig) -> None:
    job = rig.submit(epochs=10, budget=Budget(seconds=100.0))
    rig.complete(rig.claim(), 0.5, seconds=1.0)
    lease = rig.claim()  # which may take 99 seconds; an epoch takes 0.5
    rig.heartbeat(lease, {lease.work[0].id: [0.3]})
    rig.change(job, budget=Budget(seconds=2.5))
    assert rig.beat(lease, [0.3]) == "continue"
    assert rig.beat(lease, [0.3, 0.4]) == "continue"
    assert rig.beat(lease, [0.3, 0.4, 0.5]) == "prune"  # a fourth would come to 3 of 2.5 seconds
    rig.end(lease, "pruned", 0.3, 0.4, 0.5, seconds=1.5)
    assert rig.trials(job)[1].reason == "the budget of 2.5 seconds leaves it 1.5 s"
    assert rig.job(job).spent.seconds == 2.5


@one_database
def test_a_trial_without_an_epoch_yet_is_judged_by_the_clock(rig: Rig) -> None:
    job = rig.submit(budget=Budget(seconds=100.0))
    rig.complete(rig.claim(), 0.5, seconds=1.0)
    lease = rig.claim()
    with rig.database.write() as session:
        row = session.get_one(TrialRow, lease.work[0].id)
        assert row.started_at is not None
        row.started_at -= timedelta(seconds=50.0)
    rig.change(job, budget=Budget(seconds=90.0))
    assert rig.beat(lease) == "continue"
    rig.change(job, budget=Budget(seconds=30.0))
    assert rig.beat(lease) == "prune"


def test_the_baseline_stays_whatever_the_budget(rig: Rig) -> None:
    job = rig.submit(budget=Budget(seconds=100.0))
    baseline = rig.claim()
    rig.change(job, budget=Budget(seconds=0.001))
    assert directives(rig, baseline) == ["continue"]


def test_a_lowered_budget_that_is_spent_ends_the_search(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=5))
    for val_top1 in (0.5, 0.6, 0.7):
        rig.complete(rig.claim(), val_top1)
    assert rig.change(job, budget=Budget(trials=2)).state == "finalising"


def test_a_target_that_is_reached_already_ends_the_search(rig: Rig) -> None:
    job = rig.submit()
    for val_top1 in (0.5, 0.6):
        rig.complete(rig.claim(), val_top1)
    running = rig.claim()
    assert rig.change(job, budget=Budget(target_accuracy=0.55)).state == "running"
    assert directives(rig, running) == ["cancel"]
    _cancelled(rig, running, running.work[0].id)
    assert rig.job(job).state == "finalising"


def test_the_budget_of_a_search_that_is_over_stays(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    with pytest.raises(ConflictError) as caught:
        rig.change(job, budget=Budget(trials=9))
    assert caught.value.code == "search_finished"
    assert rig.change(job, priority=3).request.priority == 3


@one_database
def test_a_budget_that_does_not_fit_the_recipe_is_refused(rig: Rig) -> None:
    job = rig.submit(epochs=10)
    before = snapshot(rig.database)
    with pytest.raises(InvalidError, match="does not pay for one finetune of 10 epochs") as caught:
        rig.change(job, budget=Budget(epochs=5))
    assert caught.value.errors[0].field == "budget"
    assert snapshot(rig.database) == before


@one_database
def test_a_budget_in_finetunes_comes_to_epochs(rig: Rig) -> None:
    job = rig.submit(epochs=10, budget=Budget(epochs=20))
    assert rig.change(job, budget=Budget(finetunes=1.5)).request.budget.epochs == 15


@pytest.mark.parametrize(
    "change", [{"paused": True}, {"priority": 1}, {"budget": Budget(trials=1)}]
)
@one_database
def test_a_job_that_is_over_cannot_be_changed(rig: Rig, change: dict[str, Any]) -> None:
    job = rig.submit()
    rig.cancel(job.id)
    with pytest.raises(ConflictError) as caught:
        rig.change(job, **change)
    assert caught.value.code == "job_finished"


def test_a_deleted_job_is_unknown_at_once(rig: Rig) -> None:
    job = rig.submit(key="abc")
    rig.delete(job)
    with pytest.raises(NotFoundError):
        rig.job(job)
    with pytest.raises(NotFoundError):
        rig.delete(job)
    with rig.database.read() as session:
        assert jobs.list_jobs(session, NOBODY, None, 10).items == []
    assert rig.submit(key="abc").id != job.id


def test_a_deleted_job_is_ended_first(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    rig.delete(job)
    assert directives(rig, lease) == ["cancel"]
    assert rig.events(job)[-1].body == JobFinished(
        state="cancelled", reason="cancelled by the user"
    )
    assert rig.try_claim() is None


def test_nothing_of_a_deleted_job_is_left(rig: Rig) -> None:
    ledger = Ledger(rig.settings.ledger)
    kept = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    drain_outbox(rig.database, ledger)
    before, studies = snapshot(rig.database), _studies(ledger.storage)
    gone = [rig.submit(protocol=LastLayer(ll=[0.02]), probe=True) for _ in range(2)]
    rig.run()
    gone.append(rig.submit())
    rig.checkpoint(rig.claim(), 1)
    drain_outbox(rig.database, ledger)
    assert len(_studies(ledger.storage)) == 4
    for job in gone:
        rig.delete(job)
    assert purge_deleted(rig.database, ledger) == 3
    assert purge_deleted(rig.database, ledger) == 0
    drain_outbox(rig.database, ledger)
    after = snapshot(rig.database)
    del before["workers"], after["workers"]
    assert after == before
    assert _studies(ledger.storage) == studies
    assert rig.result(kept).job_id == kept.id
    ledger.storage.engine.dispose()


def test_a_purge_that_was_cut_off_is_finished_by_the_next(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(rig.settings.ledger)
    job = rig.submit()
    drain_outbox(rig.database, ledger)
    rig.delete(job)
    with monkeypatch.context() as patch:
        patch.setattr("lrsearch.jobs.control.lock_job", _cut_off)
        with pytest.raises(ConnectionError):
            purge_deleted(rig.database, ledger)
    drain_outbox(rig.database, ledger)
    assert purge_deleted(rig.database, ledger) == 1
    assert _studies(ledger.storage) == set()
    ledger.storage.engine.dispose()


def test_deleting_while_others_claim_and_report_leaves_no_lock_behind(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    rig.delete(job)
    with pytest.raises(ConflictError) as caught:
        rig.end(lease, "diverged", 0.1)
    assert caught.value.code == "lease_lost"
    ledger = Ledger(rig.settings.ledger)
    assert purge_deleted(rig.database, ledger) == 1
    with pytest.raises(NotFoundError) as gone:
        rig.beat(lease)
    assert gone.value.code == "lease_unknown"
    ledger.storage.engine.dispose()


def _cancelled(rig: Rig, lease: Lease, work_id: str, *val_top1s: float) -> None:
    """The worker obeys."""
    [work] = [work for work in lease.work if work.id == work_id]
    one = lease.model_copy(update={"work": [work]})
    rig.end(one, "cancelled", *val_top1s)


def _studies(storage: RDBStorage) -> set[str]:
    return {study.study_name for study in storage.get_all_studies()}


def _cut_off(*_: object) -> None:
    raise ConnectionError("cut off")
