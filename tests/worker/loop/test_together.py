"""Trials of one lease, trained side by side."""

from time import perf_counter

import pytest
import torch
from structlog.testing import LogCapture

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from tests.worker.loop.conftest import StartWorker
from tests.worker.loop.engines import Steps, all_epochs, metrics, play
from tests.worker.loop.fake_service import FakeService
from tests.worker.loop.reports import numbers, report_of
from tests.worker.loop.samples import RATES, Archive, task, trial


def test_companions_change_neither_curves_nor_weights(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    rates = [RATES, StageRates.of(0.0, 0.1), StageRates.of(0.01, 0.1), StageRates.of(1e3, 1e3)]
    alone = [trial(r, number=n) for n, r in enumerate(rates)]
    together = [trial(r, number=n) for n, r in enumerate(rates)]
    shared = task(service, animals)
    for work in alone:
        service.offer([work], shared)
    service.offer(together, shared)
    start_worker(threads=2)
    for one, same in zip(alone, together, strict=True):
        expected, found = report_of(service, one), report_of(service, same)
        assert (found.outcome, found.reason) == (expected.outcome, expected.reason)
        assert numbers(found) == numbers(expected)
        assert found.weights_sha256 == expected.weights_sha256
    assert report_of(service, together[3]).outcome == "diverged"


def test_the_trials_of_a_lease_divide_its_time(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    works = [trial(number=n) for n in (1, 2, 3)]
    service.offer(works, task(service, animals))
    started = perf_counter()
    start_worker(threads=2)
    reports = [report_of(service, work) for work in works]
    assert 0.0 < sum(report.seconds for report in reports) <= perf_counter() - started
    for report in reports:
        assert 0.0 < sum(m.seconds for m in report.curve) <= report.seconds


def test_a_task_of_unknown_size_fails_its_trials_and_the_worker_goes_on(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measure(*arguments: object) -> int:
        if not service.reports:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        return 1

    monkeypatch.setattr("lrsearch_worker.engine.task.step_bytes", measure)
    works, later = [trial(number=n) for n in (1, 2)], trial(number=3)
    shared = task(service, animals)
    service.offer(works, shared)
    service.offer([later], shared)
    start_worker(threads=2)
    for work in works:
        report = report_of(service, work)
        assert report.outcome == "failed"
        assert report.reason == "out of memory: tried to allocate 2 GiB"
    assert report_of(service, later).outcome == "complete"


def test_one_is_cancelled_and_the_others_go_on(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    cancelled, staying = trial(number=1), trial(number=2)
    service.directives = lambda beat: {cancelled.id: "cancel"}
    service.offer([cancelled, staying], task(service, animals, Recipe(epochs=60, batch_size=8)))
    start_worker()
    assert report_of(service, cancelled).outcome == "cancelled"
    report = report_of(service, staying)
    assert report.outcome == "complete"
    assert len(report.curve) == 60


def test_where_memory_does_not_suffice_for_all_one_trains_alone_afterwards(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    def too_large() -> Steps:
        yield metrics(1)
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    play(monkeypatch, too_large, all_epochs)
    works = [trial(number=n) for n in (1, 2)]
    service.offer(works, task(service, animals))
    start_worker()
    assert [report_of(service, work).outcome for work in works] == ["complete", "complete"]
    (entry,) = [e for e in log.entries if e["event"] == "too little memory beside others"]
    assert entry["trial"] == 1


def test_trials_of_another_replicate_are_trained_with_another_seed_and_keep_their_weights(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    shared = task(service, animals)
    first, second = trial(), trial(replicate=1)
    alone = [trial(), trial(replicate=1)]
    service.offer([second, first], shared)
    for work in alone:
        service.offer([work], shared)
    start_worker(max_trials=2)
    reports = [report_of(service, work) for work in (first, second)]
    assert [report.outcome for report in reports] == ["complete", "complete"]
    assert numbers(reports[0]) != numbers(reports[1])
    assert [numbers(report_of(service, work)) for work in alone] == [numbers(r) for r in reports]
    assert reports[0].weights_sha256 is not None
    assert reports[1].weights_sha256 is None
    assert second.id not in service.uploads
