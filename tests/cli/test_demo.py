"""The demo from start to end, with a worker that makes its scores up."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrsearch.cli.main import app
from lrsearch.embedded import Embedded
from lrsearch.report.job_report import JobReport

ROOT = Path(__file__).parents[2]

SCRIPTED_WORKER = f"""
import signal, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.client.scripted_worker import ScriptedWorker
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
with ScriptedWorker(sys.argv[1], test_images=300):
    signal.sigwait([signal.SIGTERM])
"""


def test_the_demo_ends_with_a_winner_a_report_and_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        Embedded, "_command", lambda it: [sys.executable, "-c", SCRIPTED_WORKER, it.url]
    )

    demo = CliRunner().invoke(app, ["demo", "--out", "out", "--source", "random"])

    assert demo.exit_code == 0, demo.output
    winner = next(line for line in demo.output.splitlines() if line.rstrip().endswith("winner"))
    assert winner.split()[:2] == ["scale", "2.5"]
    assert "points of test top-1" in demo.output
    assert "scale 2.5, second seed" in demo.output
    assert "The gain repeats with a second seed" in " ".join(demo.output.split())
    assert "lrsearch up --data out/data" in demo.output

    report = JobReport.model_validate_json(Path("out/report.json").read_text())
    assert report.job.state == "complete"
    assert [trial.replicate for trial in report.trials] == 12 * [0] + [1]
    assert report.data_set.statistics is not None
    assert len(report.data_set.statistics.labels) == 10
    assert "silhouettes" in Path("out/report.html").read_text()
    assert Path("out/winner.safetensors").read_bytes() == b"weights of trial 6"
    assert "service stopped" in Path("out/logs/service.log").read_text()
