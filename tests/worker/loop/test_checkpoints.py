"""Checkpoints on their way: sent while training goes on, fetched by the trial's next worker."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Event

import httpx
import pytest
import structlog
from structlog.testing import LogCapture

from lrsearch.contract.leases import Checkpoint, Lease, Task, TrialReport, TrialWork
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.courier import Courier, Saver
from lrsearch_worker.engine.checkpoints import Progress, TrainingState, from_bytes, to_bytes
from lrsearch_worker.engine.finetune import Finetune
from tests.worker.loop.conftest import StartWorker, connection
from tests.worker.loop.engines import Steps, metrics
from tests.worker.loop.fake_service import FakeService, problem
from tests.worker.loop.reports import numbers
from tests.worker.loop.samples import RECIPE, Archive, task, trial

EVERY_EPOCH = 0.0
HERE = "/checkpoint$"


@pytest.fixture
def seen_off(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each epoch wait until the last one is told, and its checkpoint sent (if in vain)."""
    steps = Finetune.steps

    def waiting(self: Finetune) -> Steps:
        for each in steps(self):
            before = puts(service)
            yield each
            if each is None:
                continue
            service.wait_until(lambda: each in told(service))  # noqa: B023 - at once
            if each.epoch < RECIPE.epochs:
                service.wait_until(lambda: puts(service) > before)  # noqa: B023 - at once

    monkeypatch.setattr(Finetune, "steps", waiting)


def puts(service: FakeService) -> int:
    return sum(r.startswith("PUT") and r.endswith("/checkpoint") for r in service.requests)


def told(service: FakeService) -> list[EpochMetrics]:
    """Epochs that heartbeats have brought."""
    beats = [beat for lease in service.heartbeats.values() for beat in lease]
    return [epoch.metrics for beat in beats for epoch in beat.epochs]


def report_of(service: FakeService, lease: Lease) -> TrialReport:
    work_id = lease.work[0].id
    service.wait_until(lambda: work_id in service.reports)
    report = service.reports[work_id]
    assert isinstance(report, TrialReport)
    return report


def warnings(log: LogCapture) -> list[str]:
    return [e["event"] for e in log.entries if e["log_level"] not in ("info", "debug")]


def again(work: TrialWork, checkpoint: bytes) -> TrialWork:
    """The trial as its next worker gets it."""
    epochs = from_bytes(checkpoint, work).training.epochs
    link = Checkpoint(sha256=sha256(checkpoint).hexdigest(), epochs=epochs)
    return work.model_copy(update={"checkpoint": link})


@pytest.fixture
def undisturbed(
    service: FakeService, animals: Archive, start_worker: StartWorker, seen_off: None
) -> tuple[Task, TrialWork, TrialReport, list[bytes]]:
    """A trial that has run to its end, and its checkpoints; the service has none left."""
    shared, work = task(service, animals), trial()
    lease = service.offer([work], shared)
    start_worker(checkpoint_seconds=EVERY_EPOCH)
    report = report_of(service, lease)
    service.reports.clear()
    return shared, work, report, service.checkpoints.pop(work.id)


def test_every_epoch_but_the_last_leaves_a_checkpoint(
    undisturbed: tuple[Task, TrialWork, TrialReport, list[bytes]],
) -> None:
    _, work, report, checkpoints = undisturbed
    found = [from_bytes(checkpoint, work) for checkpoint in checkpoints]
    assert [progress.curve for progress in found] == [report.curve[:1], report.curve[:2]]
    assert found[0].seconds < found[1].seconds < report.seconds


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_trial_goes_on_from_its_checkpoint_to_the_same_end(
    service: FakeService,
    undisturbed: tuple[Task, TrialWork, TrialReport, list[bytes]],
    tmp_path: Path,
    log: LogCapture,
    epochs: int,
) -> None:
    shared, work, expected, checkpoints = undisturbed
    checkpoint = checkpoints[epochs - 1]
    service.checkpoints[work.id] = [checkpoint]
    lease = service.offer([again(work, checkpoint)], shared)
    report = report_of(service, lease)
    assert numbers(report) == numbers(expected)
    assert report.weights_sha256 == expected.weights_sha256
    assert report.curve[:epochs] == expected.curve[:epochs]
    spent_here = sum(m.seconds for m in report.curve[epochs:])
    assert report.seconds >= from_bytes(checkpoint, work).seconds + spent_here
    assert [e.metrics for e in service.epochs(lease)] == report.curve
    (resumed,) = [entry for entry in log.entries if entry["event"] == "trial resumed"]
    assert resumed["epochs"] == epochs
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert checkpoint not in kept
    assert warnings(log) == []


def test_trials_side_by_side_are_saved_and_resumed_each_by_itself(
    service: FakeService, animals: Archive, start_worker: StartWorker, seen_off: None
) -> None:
    shared = task(service, animals)
    works = [trial(StageRates.of(inner, 0.1), number=n) for n, inner in enumerate([0.0, 0.01, 0.1])]
    service.offer(works, shared)
    start_worker(checkpoint_seconds=EVERY_EPOCH)
    service.wait_until(lambda: all(work.id in service.reports for work in works))
    expected = dict(service.reports)
    service.reports.clear()
    heirs = []
    for epochs, work in enumerate(works):
        service.checkpoints[work.id] = service.checkpoints[work.id][:epochs]
        heirs.append(again(work, service.checkpoints[work.id][-1]) if epochs else work)
    lease = service.offer(heirs, shared)
    service.wait_until(lambda: all(work.id in service.reports for work in works))
    for work in works:
        before, after = expected[work.id], service.reports[work.id]
        assert isinstance(before, TrialReport)
        assert isinstance(after, TrialReport)
        assert numbers(after) == numbers(before)
        assert after.weights_sha256 == before.weights_sha256
        assert [e.metrics for e in service.epochs(lease) if e.work_id == work.id] == after.curve


def missing(service: FakeService, work: TrialWork, checkpoint: bytes) -> TrialWork:
    return again(work, checkpoint)


def not_to_be_had(service: FakeService, work: TrialWork, checkpoint: bytes) -> TrialWork:
    service.checkpoints[work.id] = [checkpoint]
    service.fail("GET", HERE, *[problem(500, "internal", "a disk fails")] * 100)
    return again(work, checkpoint)


def damaged(service: FakeService, work: TrialWork, checkpoint: bytes) -> TrialWork:
    service.checkpoints[work.id] = [checkpoint[:-1]]
    return again(work, checkpoint)


def of_another_trial(service: FakeService, work: TrialWork, checkpoint: bytes) -> TrialWork:
    other = trial()
    theirs = to_bytes(other, from_bytes(checkpoint, work))
    service.checkpoints[work.id] = [theirs]
    given = again(other, theirs).checkpoint
    return work.model_copy(update={"checkpoint": given})


def of_another_network(service: FakeService, work: TrialWork, checkpoint: bytes) -> TrialWork:
    progress = from_bytes(checkpoint, work)
    progress.training.tensors.popitem()
    unfit = to_bytes(work, progress)
    service.checkpoints[work.id] = [unfit]
    return again(work, unfit)


@pytest.mark.parametrize(
    "spoil", [missing, not_to_be_had, damaged, of_another_trial, of_another_network]
)
def test_a_trial_whose_checkpoint_is_of_no_use_begins_anew(
    service: FakeService,
    undisturbed: tuple[Task, TrialWork, TrialReport, list[bytes]],
    log: LogCapture,
    spoil: Callable[[FakeService, TrialWork, bytes], TrialWork],
) -> None:
    shared, work, expected, checkpoints = undisturbed
    lease = service.offer([spoil(service, work, checkpoints[-1])], shared)
    report = report_of(service, lease)
    assert numbers(report) == numbers(expected)
    assert report.weights_sha256 == expected.weights_sha256
    assert "checkpoint not used; the trial begins anew" in warnings(log)
    assert "trial resumed" not in [entry["event"] for entry in log.entries]


def test_the_seconds_of_a_checkpoint_count_in_the_limit(
    service: FakeService, undisturbed: tuple[Task, TrialWork, TrialReport, list[bytes]]
) -> None:
    shared, work, _, checkpoints = undisturbed
    progress = from_bytes(checkpoints[0], work)._replace(seconds=1000.0)
    service.checkpoints[work.id] = [to_bytes(work, progress)]
    limited = again(work, service.checkpoints[work.id][0])
    lease = service.offer([limited.model_copy(update={"seconds_limit": 999.0})], shared)
    report = report_of(service, lease)
    assert (report.outcome, report.curve) == ("pruned", progress.curve)
    assert 1000.0 <= report.seconds < 1100.0
    assert report.reason is not None
    assert "the budget left it 999.0 s" in report.reason


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (httpx.ConnectError("refused"), "checkpoint not uploaded"),
        (problem(503, "store_unavailable", "the disk is full"), "checkpoint not uploaded"),
        (problem(422, "invalid", "sha256: is another"), "checkpoint refused"),
    ],
)
def test_checkpoints_that_do_not_arrive_do_not_disturb(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    seen_off: None,
    log: LogCapture,
    fault: httpx.Response | Exception,
    line: str,
) -> None:
    service.fail("PUT", HERE, fault)
    lease = service.offer([trial()], task(service, animals))
    start_worker(checkpoint_seconds=EVERY_EPOCH)
    assert report_of(service, lease).outcome == "complete"
    assert warnings(log) == [line]
    ((second,),) = service.checkpoints.values()
    assert from_bytes(second, _trial_of(lease)).training.epochs == 2


def test_a_trial_that_ends_before_its_time_to_be_saved_leaves_nothing(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    lease = service.offer([trial()], task(service, animals))
    start_worker(checkpoint_seconds=3600.0)
    assert report_of(service, lease).outcome == "complete"
    assert service.checkpoints == {}


def test_the_latest_checkpoint_overtakes_those_that_wait_and_none_follows_a_trials_end(
    service: FakeService, animals: Archive, log: LogCapture
) -> None:
    uploading, go_on = Event(), Event()

    def slow(request: httpx.Request) -> httpx.Response:
        uploading.set()
        go_on.wait()
        return service.handle(request)

    line = connection(service)
    line._client = httpx.Client(base_url="http://service", transport=httpx.MockTransport(slow))
    first, over, last = (trial(number=n) for n in range(3))
    lease = _given(service, [first, over, last], task(service, animals))
    courier = Courier(line, EVERY_EPOCH)
    with structlog.contextvars.bound_contextvars(job="job"):
        courier.send(lease, first, _progress(1))
    assert uploading.wait(60.0)
    for epochs in (2, 3):
        courier.send(lease, over, _progress(epochs))
        courier.send(lease, first, _progress(epochs))
        courier.send(lease, last, _progress(epochs))
    courier.forget(over)
    go_on.set()
    service.wait_until(lambda: last.id in service.checkpoints)
    courier.close()
    arrived = {
        work.number: [from_bytes(c, work).training.epochs for c in service.checkpoints[work.id]]
        for work in (first, last)
    }
    assert arrived == {first.number: [1, 3], last.number: [3]}
    assert over.id not in service.checkpoints
    (uploaded, *_) = log.entries
    assert uploaded["event"] == "checkpoint uploaded"
    assert (uploaded["job"], uploaded["trial"], uploaded["epochs"]) == ("job", 0, 1)


def test_a_trial_is_saved_when_it_has_run_long_enough_since_the_last_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved: list[int] = []
    clock = [1000.0]
    monkeypatch.setattr("lrsearch_worker.courier.perf_counter", lambda: clock[0])

    class Noting(Courier):
        def send(self, lease: object, work: TrialWork, progress: Progress) -> None:
            saved.append(len(progress.curve))

    courier = Noting(connection(FakeService()), checkpoint_seconds=25.0)
    with Saver(courier, FakeService().offer([trial()], None), trial()) as saver:
        for epoch in range(1, 11):
            clock[0] += 10.0
            curve = [metrics(n) for n in range(1, epoch + 1)]
            saver.between_epochs(curve, 3.0 * epoch, lambda: _progress(1).training)
    assert saved == [3, 6, 9]


def _given(service: FakeService, works: list[TrialWork], shared: Task) -> Lease:
    """A lease that a worker holds."""
    lease = service.offer(works, shared)
    service._given[lease.id] = lease
    return lease


def _trial_of(lease: Lease) -> TrialWork:
    (work,) = lease.work
    assert isinstance(work, TrialWork)
    return work


def _progress(epochs: int) -> Progress:
    """Of a trial of which only the number of epochs matters."""
    training = TrainingState(epochs, steps=epochs, micro_batch=None, tensors={}, momentum={})
    return Progress([metrics(epoch) for epoch in range(1, epochs + 1)], 1.0, training)
