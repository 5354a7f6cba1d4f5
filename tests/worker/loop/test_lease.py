"""Keeping a lease: heartbeats, a service that is away, a worker that is stopped."""

from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from structlog.testing import LogCapture

from lrsearch_worker import fetch
from lrsearch_worker.cache import Cache
from lrsearch_worker.data.decode import Pixels, decode
from lrsearch_worker.errors import DeviceLostError, LeaseLostError, ServiceRefusedError
from lrsearch_worker.heart import Heart
from tests.worker.loop.conftest import StartWorker, make_loop
from tests.worker.loop.engines import Steps, all_epochs, metrics, play
from tests.worker.loop.fake_service import WAIT_SECONDS, FakeService, problem
from tests.worker.loop.samples import Archive, task, trial

AWAY = (
    httpx.ConnectError("refused"),
    problem(503, "unavailable", "restarting"),
    problem(409, "collision", "another request has just made the same thing"),
)


def test_heartbeats_go_on_while_an_epoch_runs(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.heartbeat_seconds = 0.01
    work = trial()
    lease = service.offer([work], task(service, animals))

    def long_epoch() -> Steps:
        service.wait_until(lambda: len(service.heartbeats.get(lease.id, [])) >= 5)
        yield from all_epochs()

    play(monkeypatch, long_epoch)
    start_worker()
    service.wait_until(lambda: work.id in service.reports)


def test_epochs_that_were_not_delivered_are_sent_again(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.fail("POST", "/heartbeat", *AWAY)
    work = trial()
    lease = service.offer([work], task(service, animals))

    def waits_for_delivery() -> Steps:
        yield metrics(1)
        yield metrics(2)
        service.wait_until(lambda: len(service.epochs(lease)) == 2)
        yield metrics(3)

    play(monkeypatch, waits_for_delivery)
    start_worker()
    service.wait_until(lambda: work.id in service.reports)
    assert [epoch.metrics.epoch for epoch in service.epochs(lease)][:2] == [1, 2]


def test_a_refused_heartbeat_does_not_end_the_trial(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.fail("POST", "/heartbeat", problem(422, "invalid", "epochs: of no use"))
    service.heartbeat_seconds = 0.01
    work = trial()
    lease = service.offer([work], task(service, animals))

    def waits_for_another() -> Steps:
        yield metrics(1)
        service.wait_until(lambda: lease.id in service.heartbeats)
        yield metrics(2)
        yield metrics(3)

    play(monkeypatch, waits_for_another)
    start_worker()
    service.wait_until(lambda: work.id in service.reports)
    assert service.reports[work.id].kind == "trial"


def test_a_service_that_goes_away_and_comes_back_costs_no_trial(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, all_epochs)
    for method, path in [
        ("POST", "/workers$"),
        ("POST", "/leases$"),
        ("GET", "/content$"),
        ("GET", "/weights$"),
        ("PUT", "/weights$"),
        ("POST", "/report$"),
    ]:
        service.fail(method, path, *AWAY)
    works = [trial(number=1), trial(number=2)]
    shared = task(service, animals)
    for work in works:
        service.offer([work], shared)
    start_worker()
    service.wait_until(lambda: all(work.id in service.reports for work in works))
    assert len(service.registrations) == 1
    assert service.released == []


def test_a_paused_lease_is_handed_back_at_once_and_the_next_is_claimed(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    service.heartbeat_seconds = 0.01
    paused, following = trial(number=1), trial(number=2)
    service.directives = lambda _: {paused.id: "pause"}

    def until_handed_back() -> Steps:
        service.wait_until(lambda: bool(service.released))
        yield from all_epochs()

    play(monkeypatch, until_handed_back)
    shared = task(service, animals)
    first = service.offer([paused], shared)
    service.offer([following], shared)
    start_worker()
    service.wait_until(lambda: following.id in service.reports)
    assert service.released == [first.id]
    assert paused.id not in service.reports
    assert "job paused" in [entry["event"] for entry in log.entries]


def test_an_unknown_worker_registers_again(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    play(monkeypatch, all_epochs)
    start_worker()
    first, second = trial(number=1), trial(number=2)
    shared = task(service, animals)
    service.offer([first], shared)
    service.wait_until_idle()
    service.forget_workers()
    service.offer([second], shared)
    service.wait_until(lambda: {first.id, second.id} <= service.reports.keys())
    service.wait_until(lambda: len(service.registrations) == 2)
    assert service.registrations[0] == service.registrations[1]


def test_a_stopped_worker_hands_its_lease_back_without_waiting_for_the_epoch(
    service: FakeService,
    animals: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    busy, goes_on = Event(), Event()

    def long_epoch() -> Steps:
        busy.set()
        goes_on.wait()
        yield None
        yield metrics(1)

    play(monkeypatch, long_epoch)
    lease = service.offer([trial()], task(service, animals))
    loop = make_loop(service, Cache(tmp_path, 2**30))
    thread = Thread(target=loop.run)
    thread.start()
    busy.wait()
    loop.stop()
    loop.wait_until_handed_back(WAIT_SECONDS)
    assert service.released == [lease.id]
    sent = list(service.requests)
    goes_on.set()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert service.requests == sent


def test_a_worker_that_is_stopped_while_the_service_is_away_ends(
    service: FakeService, tmp_path: Path, log: LogCapture
) -> None:
    loop = make_loop(service, Cache(tmp_path, 2**30))
    service.fail("POST", "/workers", *AWAY * 1000)
    loop.stop()
    loop.run()
    assert service.registrations == []


def test_a_worker_that_is_not_let_in_ends_with_the_services_words(
    service: FakeService, tmp_path: Path, log: LogCapture
) -> None:
    service.fail("POST", "/workers", problem(401, "key_unknown", "The key is not known."))
    with pytest.raises(ServiceRefusedError, match="The key is not known"):
        make_loop(service, Cache(tmp_path, 2**30)).run()


def test_a_worker_whose_device_is_lost_reports_the_trial_and_ends(
    service: FakeService,
    animals: Archive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    def device_fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("unspecified launch failure")

    def breaks_down() -> Steps:
        yield metrics(1)
        monkeypatch.setattr("torch.ones", device_fails)
        device_fails()

    play(monkeypatch, breaks_down)
    first, second = trial(number=1), trial(number=2)
    for work in (first, second):
        service.offer([work], task(service, animals))
    with pytest.raises(DeviceLostError, match="unspecified launch failure"):
        make_loop(service, Cache(tmp_path, 2**30)).run()
    report = service.reports[first.id]
    assert report.kind == "trial"
    assert report.reason == "RuntimeError: unspecified launch failure"
    assert second.id not in service.reports


def test_every_happening_has_its_line(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    play(monkeypatch, all_epochs)
    service.offer([trial(number=7)], task(service, animals))
    start_worker()
    service.wait_until(lambda: bool(service.reports))
    service.wait_until_idle()
    assert [entry["event"] for entry in log.entries] == [
        "registered",
        "lease claimed",
        "data fetched",
        "trial started",
        "epoch",
        "epoch",
        "epoch",
        "trial finished",
        "report accepted",
    ]
    assert log.entries[-2]["trial"] == 7
    assert log.entries[-2]["val_top1"] == 0.5


def test_decoding_tells_how_far_it_is(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    monkeypatch.setattr(fetch, "DECODING_LOG_SECONDS", 0.0)
    play(monkeypatch, all_epochs)
    service.offer([trial()], task(service, animals))
    start_worker()
    service.wait_until(lambda: bool(service.reports))
    told = [(e["images"], e["of"]) for e in log.entries if e["event"] == "decoding"]
    assert told == [(n, 60) for n in range(1, 61)]


def test_a_lease_that_is_lost_ends_decoding_and_leaves_nothing(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    service.heartbeat_seconds = 0.01
    over = Event()
    lost = service.offer([trial()], task(service, animals))
    decoded: list[str] = []

    def decode_when_lost(data: bytes, side: int, name: str) -> Pixels:
        decoded.append(name)
        service.lose(lost)
        service.wait_until(lambda: over.is_set())
        return decode(data, side, name)

    lose = Heart._lose

    def lose_and_tell(heart: Heart, error: LeaseLostError) -> None:
        lose(heart, error)
        over.set()

    monkeypatch.setattr(Heart, "_lose", lose_and_tell)
    monkeypatch.setattr("lrsearch_worker.data.decode.decode", decode_when_lost)
    start_worker()
    service.wait_until(lambda: len(service.claims) >= 2)
    assert 0 < len(decoded) < 60
    assert list((tmp_path / "cache" / "images").iterdir()) == []
    assert service.reports == {}
