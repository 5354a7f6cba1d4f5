"""The probe of a lease, before its trials."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from lrsearch.contract.leases import FailedReport, ProbeReport, ProbeWork, Task
from lrsearch.contract.probes import Probe
from lrsearch.contract.rates import StageRates
from lrsearch.contract.sources import SourceModel
from lrsearch_worker.engine.task import LoadedTask
from tests.worker.loop.conftest import StartWorker
from tests.worker.loop.fake_service import FakeService
from tests.worker.loop.reports import report_of
from tests.worker.loop.samples import RECIPE, Archive, source_model, task, trial

BASELINE = StageRates.of(0.0, 0.01)

Check = Callable[[], None]


def look() -> ProbeWork:
    return ProbeWork(id=str(uuid4()))


def outcome(service: FakeService, work: ProbeWork) -> ProbeReport | FailedReport:
    """The report of a probe, once it is there."""
    service.wait_until(lambda: work.id in service.reports)
    report = service.reports[work.id]
    assert isinstance(report, ProbeReport | FailedReport)
    return report


def test_a_task_is_probed_before_its_baseline_is_trained(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work, baseline = look(), trial(BASELINE, number=0, baseline=True)
    lease = service.offer([work, baseline], task(service, animals))
    start_worker()
    trained = report_of(service, baseline)
    probed = outcome(service, work)
    assert isinstance(probed, ProbeReport)
    assert (probed.probe.images, probed.probe.labels, probed.probe.input_size) == (39, 3, 16)
    losses = [metrics.train_loss for metrics in trained.curve]
    assert probed.probe.head_losses == pytest.approx(losses, rel=1e-5)
    reports = [path.split("/")[-2] for path in service.requests if path.endswith("/report")]
    assert reports == [work.id, baseline.id]
    assert lease.id not in service.released


def test_a_probe_alone_is_work_too(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work = look()
    service.offer([work], task(service, animals))
    start_worker()
    assert isinstance(outcome(service, work), ProbeReport)


def test_a_probe_that_fails_says_why_and_the_trial_is_run(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(of_task: LoadedTask, check: Check) -> Probe:
        raise RuntimeError("out of memory: no room for the gradients")

    monkeypatch.setattr("lrsearch_worker.leases.probe", fails)
    work, baseline = look(), trial(BASELINE, number=0, baseline=True)
    service.offer([work, baseline], task(service, animals))
    start_worker()
    assert report_of(service, baseline).outcome == "complete"
    failed = outcome(service, work)
    assert isinstance(failed, FailedReport)
    assert "no room for the gradients" in failed.reason


def test_a_task_that_cannot_be_loaded_fails_probe_and_trial(
    service: FakeService, animals: Archive, start_worker: StartWorker
) -> None:
    work, baseline = look(), trial(BASELINE, number=0, baseline=True)
    service.offer([work, baseline], _with_source(service, animals, content=b"no weights"))
    start_worker()
    assert report_of(service, baseline).outcome == "failed"
    assert isinstance(outcome(service, work), FailedReport)


def test_a_probe_that_the_service_cancels_stops(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.heartbeat_seconds = 0.01
    work = look()
    service.directives = lambda beat: {work.id: "cancel"}
    lease = service.offer([work], task(service, animals))
    _play(monkeypatch, lambda: len(service.heartbeats.get(lease.id, [])) >= 2, service)
    start_worker()
    assert outcome(service, work) == FailedReport(reason="the service cancelled it")


def test_a_worker_that_is_stopped_hands_its_probe_back(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = look()
    lease = service.offer([work], task(service, animals))
    begun: list[bool] = []
    _play(monkeypatch, lambda: bool(begun.append(True) or lease.id in service.released), service)
    loop = start_worker()
    service.wait_until(lambda: bool(begun))
    loop.stop()
    service.wait_until(lambda: lease.id in service.released)
    assert work.id not in service.reports


def _play(monkeypatch: pytest.MonkeyPatch, until: Callable[[], bool], service: FakeService) -> None:
    """Let probes take until something has come about, and then look whether to go on."""

    def probe(of_task: LoadedTask, check: Check) -> Probe:
        service.wait_until(until)
        while True:
            check()

    monkeypatch.setattr("lrsearch_worker.leases.probe", probe)


def _with_source(service: FakeService, animals: Archive, content: bytes) -> Task:
    model: SourceModel = source_model(service, content)
    return task(service, animals, RECIPE).model_copy(update={"source_model": model})
