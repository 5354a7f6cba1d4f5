"""The embedded set-up: its processes start together, are looked after, and stop together."""

import os
import queue
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lrsearch import Client
from lrsearch.cli.signals import interrupting_signals, stop_signals
from lrsearch.embedded import Embedded, StartError


def run_as_worker(monkeypatch: pytest.MonkeyPatch, program: str, *arguments: str) -> None:
    """Lets a Python program take the worker's place."""
    command = [sys.executable, "-c", program, *arguments]
    monkeypatch.setattr(Embedded, "_command", lambda embedded: command)


def test_the_service_is_ready_within_the_block_and_gone_after_it(tmp_path: Path) -> None:
    with Embedded(tmp_path / "data", port=0, workers=0) as embedded:
        with Client(embedded.url) as client:
            assert client.is_ready()
            assert client.workers() == []
        assert (tmp_path / "data" / "lrsearch.db").exists()

    with pytest.raises(httpx.ConnectError):
        httpx.get(embedded.url)


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(StartError, match=rf"Port {port} .*--port"), Embedded(tmp_path, port):
            pass


def test_a_worker_that_dies_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr("lrsearch.embedded.LONGEST_BACKOFF_SECONDS", 0.01)
    run_as_worker(monkeypatch, "raise SystemExit(3)")

    with Embedded(tmp_path, port=0, workers=1, say=said.put):
        first, second = said.get(timeout=30), said.get(timeout=30)

    assert "Worker 1 ended (exit code 3)" in first
    assert "Worker 1 ended (exit code 3)" in second


def test_workers_are_asked_to_stop_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    program = """
import pathlib, signal, sys
def stop(*_):
    print("handed back", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).write_text("started")
signal.pause()
"""
    run_as_worker(monkeypatch, program, str(started))

    with Embedded(tmp_path / "data", port=0, workers=1, logs=tmp_path / "logs"):
        assert started.read_text() == "started"

    assert (tmp_path / "logs" / "worker-1.log").read_text() == "handed back\n"


def test_up_says_where_things_are_and_stops_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from lrsearch.cli.main import app; app()"]
    options = ["up", "--data", str(tmp_path / "data"), "--port", "0", "--workers", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        service = process.stdout.readline().split()
        assert service[0] == "Service"
        assert httpx.get(f"{service[1]}/jobs").json()["items"] == []

        process.terminate()
        rest = process.stdout.read()

    assert "Dashboard" in rest
    assert "Stopping" in rest
    assert process.returncode == 0


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_to_stop_however_often_it_is_sent(kind: signal.Signals) -> None:
    with stop_signals() as stop:
        signal.raise_signal(kind)
        assert stop.is_set()

        signal.raise_signal(kind)


def test_pressing_ctrl_c_again_later_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrsearch.cli.signals.HASTE_SECONDS", 0.0)

    with stop_signals():
        signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_command_with_something_to_stop_is_interrupted_by_sigterm_once() -> None:
    with interrupting_signals():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)

        signal.raise_signal(signal.SIGTERM)
