"""The service's log names what each line is about; a trial's log is served as text."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from lrsearch.contract.leases import LEASE_TOKEN_HEADER, Heartbeat
from lrsearch.contract.logs import LogLine, WorkLog
from tests.api.conftest import Json, problem
from tests.api.fake_worker import FakeWorker
from tests.api.serving import Api
from tests.service.test_trial_logs import NOON

REQUEST = {
    "data_set": "animals",
    "source_model": "random",
    "strategy": "exhaustive",
    "protocol": {"name": "last_layer", "ll": [0.02]},
    "recipe": {"epochs": 1},
    "confirm": False,
}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as JSON."""
    stream, before = io.StringIO(), structlog.get_config()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    yield stream
    structlog.configure(**before)


def read(stream: io.StringIO) -> list[Json]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_about_a_job_names_it_and_those_of_a_trial_the_trial(
    api: Api, lines: io.StringIO
) -> None:
    job = api.post("/v1/jobs", json=REQUEST).json()["id"]
    FakeWorker(api).work_off({0: 0.5, 1: 0.6})
    told = [line for line in read(lines) if line.get("action") != "register_worker"]
    events = [line["event"] for line in told if line.get("job") == job]
    for event in ("job submitted", "trial started", "trial finished", "probe finished"):
        assert event in events
    assert events[-1] == "job finished"
    of_trials = [line for line in told if line["event"].startswith("trial ")]
    assert {line["trial"] for line in of_trials} == {0, 1}
    assert {line["job"] for line in told} == {job}
    requests = {line["request"] for line in told if line["event"] != "job submitted"}
    assert len(requests) > 1
    reported = [line for line in told if line["event"] == "trial finished"]
    assert all("lease" in line and "work" in line for line in reported)


def test_what_breaks_down_names_the_job_too(
    api: Api, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = "00000000-0000-7000-8000-000000000000"
    monkeypatch.setattr("lrsearch.jobs.jobs.find_job", _break_down)
    problem(api.get(f"/v1/jobs/{job}/trials/4"), 500, "internal")
    [broken] = [line for line in read(lines) if line["event"] == "unexpected error"]
    assert (broken["job"], str(broken["trial"])) == (job, "4")
    assert "it broke down" in broken["exception"]


def test_a_trials_log_is_served_as_plain_text(api: Api) -> None:
    job = api.post("/v1/jobs", json=REQUEST).json()["id"]
    worker = FakeWorker(api, "gpu-7")
    lease = worker.claim()
    line = LogLine(number=1, at=NOON, level="warning", text="<b>too little memory</b>")
    beat = Heartbeat(logs=[WorkLog(work_id=lease.work[-1].id, lines=[line])])
    answer = api.post(
        f"/v1/leases/{lease.id}/heartbeat",
        content=beat.model_dump_json(),
        headers={LEASE_TOKEN_HEADER: lease.token, "Content-Type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    log = api.get(f"/v1/jobs/{job}/trials/0/log")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert log.headers["x-content-type-options"] == "nosniff"
    assert "12:00:00.005 warning  <b>too little memory</b>" in log.text
    problem(api.get(f"/v1/jobs/{job}/trials/9/log"), 404, "not_found")
    api.post(f"/v1/jobs/{job}/cancel")


def _break_down(*_: object) -> None:
    raise RuntimeError("it broke down")
