"""Metrics: what is counted, and how things stand."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lrsearch.metrics import exposition
from tests.service.rig import Rig


def read(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels, 0 where there is none."""
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    return sum(
        sample.value
        for sample in samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def shown(rig: Rig, name: str, **labels: str) -> float:
    return read(exposition(rig.database).decode(), name, **labels)


def test_the_queue_is_shown_by_kind_and_device(rig: Rig) -> None:
    rig.submit(device="cuda")
    rig.submit(device="cuda", probe=True)
    rig.submit()
    held_up = rig.submit()
    rig.change(held_up, paused=True)
    assert shown(rig, "lrsearch_work_waiting", kind="trial", device="cuda") == 2
    assert shown(rig, "lrsearch_work_waiting", kind="probe", device="cuda") == 1
    assert shown(rig, "lrsearch_work_waiting", kind="trial", device="any") == 1
    assert shown(rig, "lrsearch_work_waiting") == 4
    assert shown(rig, "lrsearch_jobs_open", state="waiting") == 3
    assert shown(rig, "lrsearch_jobs_open", state="paused") == 1


def test_the_age_of_what_waits_is_shown_and_begins_anew_with_a_retry(rig: Rig) -> None:
    assert shown(rig, "lrsearch_work_oldest_seconds", kind="trial") == 0
    rig.submit()
    rig.wait(120.0)
    assert 119.0 < shown(rig, "lrsearch_work_oldest_seconds", kind="trial") < 200.0
    lease = rig.claim()
    assert shown(rig, "lrsearch_work_oldest_seconds", kind="trial") == 0
    rig.lose(lease)
    assert shown(rig, "lrsearch_work_oldest_seconds", kind="trial") < 60.0


def test_leases_and_workers_are_shown_by_device(rig: Rig) -> None:
    for _ in range(2):
        rig.submit()
        rig.claim(rig.worker("cpu"))
    rig.worker("cuda")
    assert shown(rig, "lrsearch_leases_active", device="cpu") == 2
    assert shown(rig, "lrsearch_workers_present", device="cpu") == 2
    assert shown(rig, "lrsearch_workers_free", device="cpu") == 0
    assert shown(rig, "lrsearch_workers_free", device="cuda") == 1


def test_what_the_ledger_has_to_be_told_is_shown(rig: Rig) -> None:
    assert shown(rig, "lrsearch_outbox_entries") == 0
    rig.submit()
    rig.wait(120.0)
    assert shown(rig, "lrsearch_outbox_entries") == 1
    assert 119.0 < shown(rig, "lrsearch_outbox_lag_seconds") < 200.0


def test_trials_are_counted_by_outcome_and_once(rig: Rig) -> None:
    names = ("complete", "diverged", "failed", "cancelled")
    before = {name: shown(rig, "lrsearch_trials_total", outcome=name) for name in names}
    finetunes = shown(rig, "lrsearch_finetune_seconds_count")
    spent = shown(rig, "lrsearch_finetune_seconds_sum")
    job = rig.submit()
    rig.complete(rig.claim(), 0.5, seconds=100.0)  # the baseline
    lease = rig.claim()
    report = rig.complete(lease, 0.6, seconds=7.0)
    rig.report(lease, lease.work[0], report)
    rig.end(rig.claim(), "diverged", 0.1)
    rig.claim()
    rig.cancel(job.id)
    after = {name: shown(rig, "lrsearch_trials_total", outcome=name) for name in names}
    assert {name: after[name] - before[name] for name in names} == {
        "complete": 2,
        "diverged": 1,
        "failed": 0,
        "cancelled": 1,
    }
    assert shown(rig, "lrsearch_finetune_seconds_count") == finetunes + 1
    assert shown(rig, "lrsearch_finetune_seconds_sum") == spent + 7.0


def test_what_is_rolled_back_is_not_counted(rig: Rig) -> None:
    rig.submit()
    lease = rig.claim()
    before = shown(rig, "lrsearch_trials_total")
    with pytest.raises(Exception, match="weights_sha256"):
        rig.report(lease, lease.work[0], rig.unlinked_report(lease))
    assert shown(rig, "lrsearch_trials_total") == before


def test_leases_and_their_expiry_are_counted(rig: Rig) -> None:
    granted = shown(rig, "lrsearch_leases_granted_total")
    expired = shown(rig, "lrsearch_leases_expired_total")
    rig.submit()
    rig.lose(rig.claim())
    rig.claim()
    assert shown(rig, "lrsearch_leases_granted_total") == granted + 2
    assert shown(rig, "lrsearch_leases_expired_total") == expired + 1


def test_suggestions_are_timed_by_strategy(rig: Rig) -> None:
    before = shown(rig, "lrsearch_suggestion_seconds_count", strategy="tpe")
    rig.submit(strategy="tpe")
    rig.claim()
    rig.claim(max_trials=3)
    assert shown(rig, "lrsearch_suggestion_seconds_count", strategy="tpe") == before + 3
