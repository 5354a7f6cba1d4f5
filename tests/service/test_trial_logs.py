"""What workers logged of their trials: kept once, the latest of it."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from lrsearch.access.principals import NOBODY
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import Heartbeat, Lease, TrialReport
from lrsearch.contract.logs import LogLine, WorkLog
from lrsearch.errors import ConflictError, NotFoundError
from lrsearch.jobs import jobs
from lrsearch.leasing import heartbeats
from lrsearch.leasing.trial_logs import LEFT_OUT, MAX_ATTEMPTS, MAX_CHARACTERS, trial_log
from tests.service.rig import Rig, one_database

NOON = datetime(2026, 1, 2, 12, 0, 0, 5000, tzinfo=UTC)


def line(number: int, text: str) -> LogLine:
    return LogLine(number=number, at=NOON, level="info", text=text)


def send(rig: Rig, lease: Lease, *lines: LogLine) -> None:
    """A heartbeat with lines of the lease's last piece of work."""
    log = WorkLog(work_id=lease.work[-1].id, lines=list(lines))
    with rig.database.write() as session:
        heartbeats.heartbeat(session, lease.id, lease.token, Heartbeat(logs=[log]), rig.settings)


def log_of(rig: Rig, job: Job, number: int = 0) -> list[str]:
    with rig.database.read() as session:
        return trial_log(session, jobs.find_job(session, job.id, NOBODY), number).splitlines()


def test_lines_are_kept_in_order_and_once_however_often_they_come(rig: Rig) -> None:
    job = rig.submit()
    assert log_of(rig, job) == []
    lease = rig.claim(rig.worker(name="gpu-7"))
    send(rig, lease, line(1, "one"), line(2, "two\nbelow"))
    send(rig, lease, line(1, "one"), line(2, "two\nbelow"), line(4, "four"))
    head, *lines = log_of(rig, job)
    assert head.startswith("# gpu-7, from 20")
    assert head.endswith(lease.id)
    assert lines == [
        "12:00:00.005 info     one",
        "12:00:00.005 info     two",
        "    below",
        "12:00:00.005 info     four",
    ]


def test_a_report_brings_the_last_lines(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    send(rig, lease, line(1, "one"))
    lines = [line(1, "one"), line(2, "it broke down")]
    rig.report(
        lease,
        lease.work[0],
        TrialReport(outcome="failed", reason="broken", curve=[], seconds=0.0, log=lines),
    )
    assert [text.split()[-1] for text in log_of(rig, job)[1:]] == ["one", "down"]


def test_each_attempt_has_a_part_of_its_own(rig: Rig) -> None:
    job = rig.submit()
    for name in ("gpu-7", "gpu-8"):
        lease = rig.claim(rig.worker(name=name))
        send(rig, lease, line(1, f"on {name}"))
        rig.release(lease)
    shown = log_of(rig, job)
    assert [text.split(",")[0] for text in shown if text.startswith("#")] == ["# gpu-7", "# gpu-8"]
    assert [text.split()[-1] for text in shown if "info" in text] == ["gpu-7", "gpu-8"]


def test_the_end_of_a_long_log_is_kept(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    for first in range(0, 300, 10):
        send(
            rig,
            lease,
            *(line(n + 1, f"line {n + 1} " + "x" * 300) for n in range(first, first + 10)),
        )
    with rig.database.read() as session:
        text = trial_log(session, jobs.find_job(session, job.id, NOBODY), 0).partition("\n")[2]
    assert len(text) <= MAX_CHARACTERS
    first, *_, last = text.splitlines()
    assert f"{first}\n" == LEFT_OUT
    assert "line 300 " in last


@one_database
def test_the_logs_of_the_last_attempts_are_kept(rig: Rig) -> None:
    job = rig.submit()
    for number in range(MAX_ATTEMPTS + 3):
        lease = rig.claim(rig.worker(name=f"gpu-{number}"))
        send(rig, lease, line(1, "it began"))
        rig.release(lease)
    names = [text.split(",")[0] for text in log_of(rig, job) if text.startswith("#")]
    assert names == [f"# gpu-{number}" for number in range(3, MAX_ATTEMPTS + 3)]


def test_lines_of_a_lost_lease_are_not_taken(rig: Rig) -> None:
    job = rig.submit()
    lease = rig.claim()
    rig.lose(lease)
    with pytest.raises(ConflictError):
        send(rig, lease, line(1, "late"))
    assert log_of(rig, job) == []


@one_database
def test_characters_that_a_database_cannot_keep_are_left_out(rig: Rig) -> None:
    job = rig.submit()
    send(rig, rig.claim(), line(1, "nul \x00 and café"))
    assert log_of(rig, job)[1].endswith("nul  and café")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "2026-01-02T12:00:00"])
def test_a_moment_that_cannot_be_shown_is_refused(at: str) -> None:
    with pytest.raises(ValidationError, match="at"):
        LogLine.model_validate({"number": 1, "at": at, "level": "info", "text": ""})


@one_database
def test_a_trial_that_does_not_exist_has_no_log(rig: Rig) -> None:
    with pytest.raises(NotFoundError, match="no trial 7"):
        log_of(rig, rig.submit(), 7)
