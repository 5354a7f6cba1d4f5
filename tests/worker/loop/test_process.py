"""The worker as a process: what signals do to it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx
import pytest

from lrsearch.contract.recipes import Recipe
from tests.worker.loop.fake_service import WAIT_SECONDS, FakeService
from tests.worker.loop.loopback import on_loopback
from tests.worker.loop.samples import Archive, task, trial

ENDLESS = Recipe(epochs=1000, batch_size=8)


@contextmanager
def worker_process(url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "lrsearch_worker", "run", "--url", url, "--threads", "1"]
    environment = os.environ | {"LRSEARCH_WORKER_DATA": str(folder), "LRSEARCH_API_KEY": "secret"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_sigterm_hands_the_lease_back_and_ends_the_process_with_0(
    service: FakeService, animals: Archive, tmp_path: Path
) -> None:
    lease = service.offer([trial()], task(service, animals, ENDLESS))
    with on_loopback(service) as url, worker_process(url, tmp_path) as process:
        service.wait_until(lambda: bool(service.epochs(lease)))
        process.terminate()
        service.wait_until(lambda: service.released == [lease.id])
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stderr is not None
        events = [json.loads(line)["event"] for line in process.stderr]
    assert events[-2:] == ["lease handed back", "stopped"]
    assert service.reports == {}


def test_a_second_signal_ends_the_process_at_once(
    service: FakeService, animals: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = service.offer([trial()], task(service, animals, ENDLESS))
    handing_back, over = Event(), Event()
    handle = service.handle

    def hangs_at_release(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/release"):
            return handle(request)
        handing_back.set()
        over.wait()
        return httpx.Response(204)

    monkeypatch.setattr(service, "handle", hangs_at_release)
    with on_loopback(service) as url, worker_process(url, tmp_path) as process:
        service.wait_until(lambda: bool(service.epochs(lease)))
        process.terminate()
        handing_back.wait()
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 128 + signal.SIGTERM
        over.set()
