"""A trial's life: claimed, run, uploaded, reported; and all that may end it otherwise."""

from functools import partial
from unittest.mock import Mock

import httpx
import pytest
import torch
from structlog.testing import LogCapture

from lrsearch.contract.leases import Directive, Heartbeat
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch_worker import leases, weights
from lrsearch_worker.engine.shares import Shares
from lrsearch_worker.engine.task import LoadedTask
from tests.worker.loop.conftest import StartWorker
from tests.worker.loop.engines import Script, Steps, all_epochs, metrics, play
from tests.worker.loop.fake_service import FakeService, problem
from tests.worker.loop.reports import numbers, report_of
from tests.worker.loop.samples import Archive, archive_of, task, trial

ENDLESS = Recipe(epochs=1000, batch_size=8)


def test_a_trial_runs_to_its_end_and_hands_in_its_weights(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work = trial()
    service.offer([work], task(service, animals))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "complete"
    assert report.reason is None
    assert [m.epoch for m in report.curve] == [1, 2, 3]
    assert report.seconds >= sum(m.seconds for m in report.curve)
    uploaded = weights.from_bytes(service.uploads[work.id])
    weights.complete_network(uploaded)
    assert uploaded.spec.labels is not None
    assert len(uploaded.spec.labels) == 3
    assert uploaded.spec.card.recipe["rate_head"] == work.rates.head


def test_every_epoch_is_told_as_it_ends(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = trial()
    lease = service.offer([work], task(service, animals))

    def one_by_one() -> Steps:
        for epoch in (1, 2, 3):
            yield metrics(epoch)
            service.wait_until(lambda: len(service.epochs(lease)) == epoch)  # noqa: B023 - at once

    play(monkeypatch, one_by_one)
    start_worker()
    curve = report_of(service, work).curve
    assert [(e.work_id, e.metrics) for e in service.epochs(lease)] == [(work.id, m) for m in curve]


def test_the_same_trial_gives_the_same_report_and_weights(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    first, other, again = trial(number=1), trial(StageRates.of(0.01, 0.01), number=2), trial()
    shared = task(service, animals)
    for work in (first, other, again):
        service.offer([work], shared)
    start_worker()
    reports = [report_of(service, work) for work in (first, other, again)]
    assert numbers(reports[0]) == numbers(reports[2]) != numbers(reports[1])
    assert reports[0].weights_sha256 == reports[2].weights_sha256 != reports[1].weights_sha256


def test_trials_of_one_job_load_it_once(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Mock(wraps=LoadedTask)
    monkeypatch.setattr(leases, "LoadedTask", load)
    play(monkeypatch, all_epochs)
    shared = task(service, animals)
    for number in (1, 2, 3):
        service.offer([trial(number=number)], shared)
    start_worker()
    service.wait_until(lambda: len(service.reports) == 3)
    load.assert_called_once()
    assert service.requests.count(f"GET /v1/datasets/{shared.data_set_id}/content") == 1


def test_a_lease_with_several_trials_is_run_to_its_end(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, all_epochs)
    works = [trial(number=n) for n in (1, 2)]
    lease = service.offer(works, task(service, animals))
    start_worker(max_trials=2)
    assert [report_of(service, work).outcome for work in works] == ["complete", "complete"]
    service.wait_until_idle()
    assert service.claims[0].max_trials == 2
    assert service.released == []
    assert all(m.epoch <= 3 for m in (e.metrics for e in service.epochs(lease)))


@pytest.mark.parametrize(("directive", "outcome"), [("prune", "pruned"), ("cancel", "cancelled")])
def test_a_directive_ends_a_trial_early(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    directive: Directive,
    outcome: str,
) -> None:
    ended, next_one = trial(number=1), trial(number=2)
    service.directives = lambda beat: {e.work_id: directive for e in beat.epochs}
    service.offer([ended], task(service, animals, ENDLESS))
    service.offer([next_one], task(service, animals))
    start_worker()
    report = report_of(service, ended)
    assert report.outcome == outcome
    assert 1 <= len(report.curve) < 1000
    assert report.weights_sha256 is None
    assert report_of(service, next_one)


def test_a_lost_lease_stops_the_work_and_silences_the_worker(
    service: FakeService, animals: Archive, start_worker: StartWorker, log: LogCapture
) -> None:
    lost, next_one = trial(number=1), trial(number=2)
    lease = service.offer([lost], task(service, animals, ENDLESS))

    def lose_it(beat: Heartbeat) -> dict[str, Directive]:
        service.lose(lease)
        return {}

    service.directives = lose_it
    service.offer([next_one], task(service, animals))
    start_worker()
    service.wait_until_idle()
    assert lost.id not in service.reports
    assert service.reports[next_one.id]
    assert service.released == []
    of_lease = [r for r in service.requests if lease.id in r]
    assert of_lease == [f"POST /v1/leases/{lease.id}/heartbeat"] * 2  # the last was told 409
    assert [e["lease"] for e in log.entries if e["event"] == "lease lost"] == [lease.id]


def test_weights_are_sent_until_they_arrive(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, all_epochs)
    work = trial()
    damaged = b'{"sha256": "%s", "size_bytes": 1}' % (b"0" * 64)
    service.fail(
        "PUT",
        "/weights",
        problem(503, "unavailable", "restarting"),
        httpx.ConnectError("refused"),
        httpx.Response(200, content=damaged),
    )
    service.offer([work], task(service, animals))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "complete"
    assert sum(r.startswith("PUT") for r in service.requests) == 4


def test_weights_that_cannot_win_stay_behind(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    below, equal, baseline = trial(number=1), trial(number=2), trial(number=0, baseline=True)
    service.heartbeat_seconds, service.val_top1_to_beat = 0.01, 0.5
    shared = task(service, animals)
    for work in (below, equal, baseline):
        service.offer([work], shared)

    def known_to_be(val_top1: float, lease_number: int) -> Script:
        def epochs() -> Steps:
            # The second heartbeat follows the first one's reply.
            service.wait_until(lambda: len(list(service.heartbeats.values())[lease_number:]) > 0)
            beats = list(service.heartbeats.values())[lease_number]
            service.wait_until(lambda: len(beats) >= 2)
            yield from all_epochs(val_top1=val_top1)

        return epochs

    play(monkeypatch, known_to_be(0.4, 0), known_to_be(0.5, 1), known_to_be(0.1, 2))
    start_worker()
    reports = [report_of(service, work) for work in (below, equal, baseline)]
    assert [r.outcome for r in reports] == ["complete"] * 3
    assert [r.weights_sha256 is not None for r in reports] == [False, True, True]


def test_a_trial_stops_before_its_seconds_are_exceeded(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]

    def ten_seconds_each() -> Steps:
        for epoch in range(1, 101):
            clock[0] += 10.0
            yield metrics(epoch, seconds=10.0)

    play(monkeypatch, ten_seconds_each)
    monkeypatch.setattr("lrsearch_worker.trial.Shares", partial(Shares, now=lambda: clock[0]))
    work = trial(seconds_limit=35.0)
    service.offer([work], task(service, animals, Recipe(epochs=100)))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "pruned"
    assert len(report.curve) == 3
    assert report.seconds == 30.0
    assert report.reason is not None
    assert "35.0 s" in report.reason
    assert "30.0 s were spent" in report.reason


def test_a_trial_whose_first_epoch_is_too_long_stops_within_it(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work = trial(seconds_limit=1e-9)
    service.offer([work], task(service, animals))
    start_worker()
    report = report_of(service, work)
    assert (report.outcome, report.curve) == ("pruned", [])


def test_a_trial_that_diverges_says_where(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work = trial(StageRates.of(1000.0, 1000.0))
    service.offer([work], task(service, animals))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "diverged"
    assert report.reason is not None
    assert "in epoch" in report.reason
    assert "at step" in report.reason
    assert report.weights_sha256 is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            torch.OutOfMemoryError("tried to allocate 2 GiB"),
            "out of memory: tried to allocate 2 GiB",
        ),
        (ArithmeticError("odd"), "ArithmeticError: odd"),
    ],
)
def test_a_trial_that_breaks_down_is_failed_and_the_worker_goes_on(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
    error: Exception,
    reason: str,
) -> None:
    def breaks_down() -> Steps:
        yield metrics(1)
        raise error

    play(monkeypatch, breaks_down, all_epochs)
    broken, next_one = trial(number=1), trial(number=2)
    shared = task(service, animals)
    service.offer([broken], shared)
    service.offer([next_one], shared)
    start_worker()
    report = report_of(service, broken)
    assert (report.outcome, report.reason) == ("failed", reason)
    assert len(report.curve) == 1
    assert any(entry.get("exc_info") for entry in log.entries)
    assert report_of(service, next_one).outcome == "complete"


def test_a_data_set_that_is_not_the_one_asked_for_fails_its_trial(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work = trial()
    service.offer([work], task(service, Archive(animals.content, "0" * 64)))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "failed"
    assert report.reason is not None
    assert animals.fingerprint in report.reason
    assert "0" * 64 in report.reason


def test_an_image_that_cannot_be_read_is_named(
    service: FakeService, start_worker: StartWorker
) -> None:
    archive = archive_of({f"{label}/{n}.png": bytes([n]) for label in "ab" for n in range(8)})
    work = trial()
    service.offer([work], task(service, archive))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "failed"
    assert report.reason is not None
    assert "a/0.png" in report.reason


def test_a_report_that_is_refused_becomes_a_failure(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, all_epochs)
    work = trial()
    service.fail("POST", "/report", problem(422, "invalid", "curve: wants epochs 1, 2, …"))
    service.offer([work], task(service, animals))
    start_worker()
    report = report_of(service, work)
    assert report.outcome == "failed"
    assert report.reason is not None
    assert "wants epochs" in report.reason
