"""Reports: what counts as the outcome of a trial, once, and which weights are kept."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import TrialFinished
from lrsearch.contract.jobs import Best
from lrsearch.contract.leases import (
    CheckModelReport,
    FailedReport,
    Report,
    ReportReply,
    TrialReport,
)
from lrsearch.contract.protocols import LastLayer
from lrsearch.contract.trials import EpochMetrics
from lrsearch.db.tables import SourceModelRow, TrialRow
from lrsearch.errors import ConflictError, InvalidError
from lrsearch.store import BlobStore
from lrsearch.upkeep.garbage import collect_garbage
from tests.service.rig import Rig, curve, one_database
from tests.service.snapshot import snapshot


def test_a_complete_trial_has_its_last_epochs_accuracy(rig: Rig) -> None:
    job = rig.submit(epochs=3)
    lease = rig.claim(rig.worker(name="gpu-7"))
    report = TrialReport(
        outcome="complete",
        curve=[*curve(0.7, 0.9), _epoch(3, val_top1=0.8, val_loss=0.25)],
        seconds=12.5,
        weights_sha256=rig.upload(lease, lease.work[0]),
    )
    rig.report(lease, lease.work[0], report)
    trial = rig.trials(job)[0]
    assert (trial.state, trial.val_top1, trial.val_loss) == ("complete", 0.8, 0.25)
    assert (trial.seconds, trial.worker) == (12.5, "gpu-7")
    assert trial.curve == report.curve
    assert rig.job(job).best == Best(trial=0, val_top1=0.8)


def test_the_same_report_again_gets_the_same_reply_and_changes_nothing(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    report = rig.complete(lease, 0.5)
    before = snapshot(rig.database)
    assert rig.report(lease, lease.work[0], report).accepted
    assert snapshot(rig.database) == before


def test_another_report_is_a_conflict_and_changes_nothing(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    report = rig.complete(lease, 0.5)
    before = snapshot(rig.database)
    with pytest.raises(ConflictError) as caught:
        rig.report(lease, lease.work[0], report.model_copy(update={"seconds": 2.0}))
    assert caught.value.code == "report_conflict"
    assert snapshot(rig.database) == before


@pytest.mark.parametrize("outcome", ["pruned", "diverged", "failed", "cancelled"])
@one_database
def test_a_trial_that_did_not_complete_has_no_score(rig: Rig, outcome: str) -> None:
    job = rig.submit()
    rig.end(rig.claim(), outcome, 0.9)
    trial = rig.trials(job)[0]
    assert (trial.state, trial.val_top1, trial.val_loss) == (outcome, None, None)
    assert trial.curve == curve(0.9)
    assert rig.job(job).best is None
    assert rig.job(job).trials_finished == 1


@one_database
def test_a_diverged_trial_tells_at_which_step(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    report = TrialReport(outcome="diverged", reason="loss is NaN at step 7", curve=[], seconds=1.0)
    rig.report(lease, lease.work[0], report)
    assert rig.trials(job)[0].reason == "loss is NaN at step 7"
    assert rig.events(job)[-1].body == TrialFinished(
        trial=0, state="diverged", reason="loss is NaN at step 7", val_top1=None, best=False
    )


@pytest.mark.parametrize(
    ("outcome", "epochs"),
    [
        ("complete", [1]),
        ("complete", [2, 1]),
        ("complete", [1, 1]),
        ("pruned", [2]),
        ("pruned", [1, 2, 3]),
    ],
)
@one_database
def test_a_curve_must_have_the_epochs_of_the_recipe_in_order(
    rig: Rig, outcome: Any, epochs: list[int]
) -> None:
    rig.submit(epochs=2)
    lease = rig.claim()
    report = TrialReport(
        outcome=outcome,
        curve=[_epoch(epoch) for epoch in epochs],
        seconds=1.0,
        weights_sha256=rig.upload(lease, lease.work[0]),
    )
    before = snapshot(rig.database)
    with pytest.raises(InvalidError, match=r"^curve: "):
        rig.report(lease, lease.work[0], report)
    assert snapshot(rig.database) == before
    rig.complete(lease, 0.5)  # the lease still stands


@pytest.mark.parametrize("uploaded", [False, True])
def test_the_best_trial_must_have_uploaded_the_weights_that_it_names(
    rig: Rig, uploaded: bool
) -> None:
    job = rig.submit()
    lease = rig.claim()
    if uploaded:
        rig.upload(lease, lease.work[0])
    report = TrialReport(
        outcome="complete", curve=curve(0.5, 0.5), seconds=1.0, weights_sha256="0" * 64
    )
    with pytest.raises(InvalidError) as caught:
        rig.report(lease, lease.work[0], report)
    assert caught.value.code == "weights_missing"
    assert rig.trials(job)[0].state == "running"


def test_weights_uploaded_under_a_lost_lease_do_not_count(rig: Rig) -> None:
    rig.submit()
    lost = rig.claim()
    weights = rig.upload(lost, lost.work[0])
    rig.lose(lost)
    lease = rig.claim()
    report = TrialReport(
        outcome="complete", curve=curve(0.5, 0.5), seconds=1.0, weights_sha256=weights
    )
    with pytest.raises(InvalidError) as caught:
        rig.report(lease, lease.work[0], report)
    assert caught.value.code == "weights_missing"


def test_a_loser_needs_no_weights(rig: Rig) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    rig.report(
        lease, lease.work[0], TrialReport(outcome="complete", curve=curve(0.4, 0.4), seconds=1.0)
    )
    assert rig.trials(job)[1].val_top1 == 0.4
    assert rig.job(job).best == Best(trial=0, val_top1=0.5)


def test_the_weights_of_the_best_and_of_the_baseline_are_kept(rig: Rig) -> None:
    job = rig.submit()
    for val_top1 in (0.5, 0.6, 0.4, 0.7, 0.65):
        rig.complete(rig.claim(), val_top1)
    assert _trials_with_weights(rig, job.id) == [0, 3]


def test_weights_that_are_kept_no_longer_are_removed_from_the_store(rig: Rig) -> None:
    store = BlobStore(rig.settings.data_dir)
    rig.submit()
    weights = []
    for val_top1 in (0.5, 0.6, 0.4, 0.7):
        lease = rig.claim()
        weights.append(rig.complete(lease, val_top1).weights_sha256)
    running = rig.claim()
    weights.append(rig.upload(running, running.work[0]))
    for digest in weights:
        path = store.path(str(digest))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"weights")
    settings = rig.settings.model_copy(update={"blob_grace_seconds": 0.0})
    collect_garbage(rig.database, settings)
    kept = [store.path(str(digest)).exists() for digest in weights]
    assert kept == [True, False, False, True, True]


def test_a_tie_goes_to_the_lower_validation_loss(rig: Rig) -> None:
    job = rig.submit()
    rig.complete(rig.claim(), 0.5, val_loss=0.9)
    rig.complete(rig.claim(), 0.5, val_loss=1.1)
    assert rig.job(job).best == Best(trial=0, val_top1=0.5)
    rig.complete(rig.claim(), 0.5, val_loss=0.7)
    assert rig.job(job).best == Best(trial=2, val_top1=0.5)


def test_a_report_must_be_of_the_works_kind(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    with pytest.raises(InvalidError, match="'trial' work wants a report of its kind"):
        rig.report(lease, lease.work[0], CheckModelReport(accepted=True))


@pytest.mark.parametrize(
    ("report", "state", "reason"),
    [
        (CheckModelReport(accepted=True), "ready", None),
        (CheckModelReport(accepted=False, reason="conv1 lacks"), "rejected", "conv1 lacks"),
        (FailedReport(reason="no memory"), "rejected", "no memory"),
    ],
)
def test_a_check_decides_over_a_source_model(
    rig: Rig, report: Report, state: str, reason: str | None
) -> None:
    source_model = rig.register_source_model("checked")
    lease = rig.claim()
    rig.report(lease, lease.work[0], report)
    with rig.database.read() as session:
        row = session.get_one(SourceModelRow, source_model.id)
    assert (row.state, row.reason) == (state, reason)


def test_a_trials_weights_cannot_be_changed_after_its_report(rig: Rig) -> None:
    rig.submit()
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim(max_trials=2)
    rig.complete(lease, 0.6, work=lease.work[0])
    with pytest.raises(ConflictError) as caught:
        rig.upload(lease, lease.work[0], "others")
    assert caught.value.code == "report_conflict"


def test_a_final_test_takes_no_weights(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.01]))
    rig.complete(rig.claim(), 0.5)
    lease = rig.claim()
    with pytest.raises(ConflictError, match="takes no weights"):
        rig.upload(lease, lease.work[0])
    rig.release(lease)


def _epoch(epoch: int, val_top1: float = 0.5, val_loss: float = 1.0) -> EpochMetrics:
    return EpochMetrics(
        epoch=epoch, train_loss=1.0, val_loss=val_loss, val_top1=val_top1, seconds=0.5
    )


def _trials_with_weights(rig: Rig, job_id: str) -> list[int]:
    with rig.database.read() as session:
        return list(
            session.scalars(
                select(TrialRow.number)
                .where(TrialRow.job_id == job_id, TrialRow.weights_sha256.is_not(None))
                .order_by(TrialRow.number)
            )
        )


def test_reports_on_a_job_that_come_together_all_count(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=3))
    leases = [rig.claim() for _ in range(4)]
    rig.complete(leases[0], 0.9)
    sent = [(lease, lease.work[0], rig.unlinked_report(lease)) for lease in leases[1:]]
    assert rig.report_together(*sent) == [ReportReply()] * 3
    assert [trial.val_top1 for trial in rig.trials(job)] == [0.9, 0.5, 0.5, 0.5]
    assert rig.job(job).state == "finalising"
    numbers = [event.id for event in rig.events(job)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_of_reports_that_come_together_one_that_is_refused_changes_nothing(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=2))
    leases = [rig.claim() for _ in range(3)]
    rig.complete(leases[0], 0.4)
    loser = TrialReport(outcome="complete", curve=curve(0.1, 0.1), seconds=1.0)
    best, taken = rig.report_together(
        (leases[1], leases[1].work[0], rig.unlinked_report(leases[1])),
        (leases[2], leases[2].work[0], loser),
    )
    assert isinstance(best, InvalidError)
    assert best.code == "weights_missing"
    assert taken == ReportReply()
    assert [trial.state for trial in rig.trials(job)] == ["complete", "running", "complete"]


def test_reports_on_several_jobs_that_come_together_each_count_for_theirs(rig: Rig) -> None:
    jobs = [rig.submit(budget=Budget(trials=1)) for _ in range(2)]
    leases = [rig.claim() for _ in range(4)]
    for lease in leases[::2]:
        rig.complete(lease, 0.9)
    sent = [(lease, lease.work[0], rig.unlinked_report(lease)) for lease in leases[1::2]]
    assert rig.report_together(*sent) == [ReportReply()] * 2
    assert [rig.job(job).trials_finished for job in jobs] == [2, 2]


def test_a_report_that_comes_twice_at_once_counts_once(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    failed = TrialReport(outcome="failed", reason="out of memory", curve=[], seconds=3.0)
    sent = (lease, lease.work[0], failed)
    assert rig.report_together(sent, sent) == [ReportReply()] * 2
    assert rig.job(job).spent.seconds == 3.0


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_report_that_the_database_cannot_keep_harms_none_that_come_with_it(
    rig: Rig, jobs: int
) -> None:
    submitted = [rig.submit(budget=Budget(trials=1)) for _ in range(jobs)]
    leases = [rig.claim() for _ in range(2 * jobs)]
    failed = TrialReport(outcome="failed", reason="out of memory", curve=[], seconds=1.0)
    odd = failed.model_copy(update={"reason": "NUL: \0"})
    sent = [(lease, lease.work[0], failed) for lease in leases]
    refused, *taken = rig.report_together((leases[0], leases[0].work[0], odd), *sent[1:])
    assert isinstance(refused, DataError)
    assert taken == [ReportReply()] * len(sent[1:])
    assert rig.trials(submitted[0])[0].state == "running"
    assert rig.report_together(*sent) == [ReportReply()] * len(sent)
    assert {rig.job(job).state for job in submitted} == {"failed"}


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_report_on_a_lease_that_cannot_be_harms_none_that_come_with_it(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    failed = TrialReport(outcome="failed", reason="out of memory", curve=[], seconds=1.0)
    nowhere = lease.model_copy(update={"id": "a\0b"})
    refused, taken = rig.report_together(
        (nowhere, lease.work[0], failed), (lease, lease.work[0], failed)
    )
    assert isinstance(refused, DataError)
    assert taken == ReportReply()
