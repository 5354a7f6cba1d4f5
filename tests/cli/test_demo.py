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
    assert "winner" in demo.output
    assert "points of test top-1" in demo.output
    assert "of the highest expected top-1" in demo.output
    assert "lrsearch up --data out/data" in demo.output

    report = JobReport.model_validate_json(Path("out/report.json").read_text())
    assert report.job.state == "complete"
    assert [trial.state for trial in report.trials] == 4 * ["complete"]  # baseline, 3 finetunes
    assert report.result is not None
    assert report.data_set.statistics is not None
    assert len(report.data_set.statistics.labels) == 10
    assert "silhouettes" in Path("out/report.html").read_text()
    assert Path("out/winner.safetensors").read_bytes() == b"weights of trial %d" % (
        report.result.winner.trial
    )
    assert "service stopped" in Path("out/logs/service.log").read_text()
