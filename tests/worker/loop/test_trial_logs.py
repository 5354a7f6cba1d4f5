"""What a worker logs of a trial reaches the service."""

import pytest
from structlog.testing import LogCapture

from lrsearch.contract.logs import LogLine
from lrsearch_worker.trial_logs import MAX_PENDING_CHARACTERS, TrialLogs
from tests.worker.loop.conftest import StartWorker
from tests.worker.loop.engines import Steps, all_epochs, metrics, play
from tests.worker.loop.fake_service import FakeService, problem
from tests.worker.loop.reports import report_of
from tests.worker.loop.samples import Archive, task, trial


def sent(service: FakeService, lease_id: str, work_id: str) -> list[LogLine]:
    """The lines that heartbeats have brought, by their numbers."""
    found = {
        line.number: line
        for beat in service.heartbeats.get(lease_id, [])
        for log in beat.logs
        if log.work_id == work_id
        for line in log.lines
    }
    return [found[number] for number in sorted(found)]


def test_lines_come_with_heartbeats_and_the_last_with_the_report(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.heartbeat_seconds = 0.01
    work = trial(number=3)
    lease = service.offer([work], task(service, animals))

    def breaks_down() -> Steps:
        yield metrics(1)
        service.wait_until(lambda: len(sent(service, lease.id, work.id)) >= 2)
        raise RuntimeError("no such kernel")

    play(monkeypatch, breaks_down)
    start_worker()
    report = report_of(service, work)
    early = sent(service, lease.id, work.id)
    assert early[0].text.startswith("trial started ")
    assert early[1].text.startswith("epoch epoch=1 ")
    numbers = {line.number for line in [*early, *report.log]}
    assert numbers == set(range(1, len(numbers) + 1))
    broken = next(line for line in [*early, *report.log] if "broke down" in line.text)
    assert broken.level == "error"
    assert "Traceback" in broken.text
    assert "RuntimeError: no such kernel" in broken.text
    assert report.log[-1].text.startswith("trial finished outcome='failed'")


def test_lines_that_were_not_delivered_are_sent_again(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.heartbeat_seconds = 0.01
    service.fail("POST", "/heartbeat", *[problem(503, "unavailable", "restarting")] * 3)
    work = trial()
    lease = service.offer([work], task(service, animals))

    def waits() -> Steps:
        service.wait_until(lambda: bool(sent(service, lease.id, work.id)))
        yield from all_epochs()

    play(monkeypatch, waits)
    start_worker()
    report_of(service, work)
    assert sent(service, lease.id, work.id)[0].number == 1


def test_lines_of_trials_side_by_side_are_kept_apart(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works = [trial(number=1), trial(number=2)]
    lease = service.offer(works, task(service, animals))
    play(monkeypatch, all_epochs)
    start_worker(max_trials=2)
    for work in works:
        report = report_of(service, work)
        lines = [*sent(service, lease.id, work.id), *report.log]
        starts = [line for line in lines if line.text.startswith("trial started")]
        assert {line.number for line in starts} == {1}


def test_every_line_about_a_lease_names_its_job_and_those_of_a_trial_the_trial(
    service: FakeService,
    animals: Archive,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    log: LogCapture,
) -> None:
    service.heartbeat_seconds = 0.01
    service.fail("POST", "/heartbeat", problem(422, "invalid", "of no use"))
    work = trial(number=3)
    lease = service.offer([work], task(service, animals))

    def waits_for_a_heartbeat() -> Steps:
        service.wait_until(lambda: lease.id in service.heartbeats)
        yield from all_epochs()

    play(monkeypatch, waits_for_a_heartbeat)
    start_worker()
    report_of(service, work)
    service.wait_until_idle()
    assert lease.task is not None
    entries = [entry for entry in log.entries if entry["event"] != "registered"]
    assert {entry["event"] for entry in entries} >= {
        "heartbeat refused",
        "epoch",
        "report accepted",
    }
    assert {entry.get("job") for entry in entries} == {lease.task.job_id}
    assert {entry.get("lease") for entry in entries} == {lease.id}
    of_trial = ("trial started", "epoch", "trial finished", "report accepted")
    assert {entry.get("trial") for entry in entries if entry["event"] in of_trial} == {3}


def test_what_waits_for_delivery_is_bounded_and_the_latest_stays(
    service: FakeService, animals: Archive
) -> None:
    lease = service.offer([trial(number=3)], task(service, animals))
    assert lease.task is not None
    logs = TrialLogs()
    logs.begin(lease)
    for number in range(1000):
        line = {"job": lease.task.job_id, "trial": 3, "event": f"{number} " + "x" * 100}
        logs(None, "info", line)
    [pending] = logs.pending(lease)
    assert sum(len(line.text) for line in pending.lines) <= MAX_PENDING_CHARACTERS
    assert pending.lines[-1].number == 1000
    logs.delivered(lease, [pending])
    assert logs.pending(lease) == []


def test_other_lines_are_not_kept(service: FakeService, animals: Archive) -> None:
    lease = service.offer([trial(number=3)], task(service, animals))
    assert lease.task is not None
    logs = TrialLogs()
    logs.begin(lease)
    for line in ({"trial": 3}, {"job": lease.task.job_id}, {"job": "another", "trial": 3}):
        logs(None, "info", {**line, "event": "something"})
    logs.end(lease)
    logs(None, "info", {"job": lease.task.job_id, "trial": 3, "event": "late"})
    assert logs.pending(lease) == []
