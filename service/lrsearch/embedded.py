"""The embedded set-up: service, dashboard and local workers, started and stopped together.

Workers are processes of their own and speak HTTP, as they do everywhere else; one that dies is
started again.
"""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import uvicorn

from lrsearch.api.app import create_app
from lrsearch.client import Client
from lrsearch.db.migrate import upgrade
from lrsearch.errors import LRSearchError
from lrsearch.settings import Settings

START_SECONDS = 60.0
"""How long the service may take until it is ready."""

STOP_SECONDS = 30.0
"""How long a worker may take to hand its work back, before it is killed."""

LONGEST_BACKOFF_SECONDS = 60.0
"""Longest pause before a worker that keeps dying is started again."""

_LOOK_SECONDS = 0.25


@dataclass
class StartError(LRSearchError):
    """The set-up cannot be started, or has broken down."""

    code: str = "start_failed"


class Embedded:
    """Runs while its `with` block does.

    Args:
        data_dir: Folder for everything that is kept.
        port: Port on 127.0.0.1; 0 takes a free one.
        workers: Local worker processes.
        device: What they compute on: `cpu`, `cuda` or `mps`.
        logs: Folder for the workers' logs; null leaves them on standard error.
        say: Is told, in a sentence, of workers that died.

    Raises:
        StartError: On entering the block: the port is taken, the worker's part is not installed, or
            the service does not become ready.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 8000,
        workers: int = 1,
        device: str = "cpu",
        logs: Path | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self.settings = Settings(data_dir=data_dir, host="127.0.0.1", port=port)
        self._device = device
        self._logs = logs
        self._workers = [_WorkerProcess(number) for number in range(1, workers + 1)]
        self._say = say
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        if self._workers and importlib.util.find_spec("torch") is None:
            raise StartError(
                "A local worker needs torch: install lrsearch[worker], or start without one."
            )
        try:
            self._start_service()
            for worker in self._workers:
                worker.start(self._command(), self._logs)
            self._supervisor.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def check(self) -> None:
        """Raises `StartError` where the service has ended by itself."""
        if self._thread is None or not self._thread.is_alive():
            raise StartError("The service has ended by itself; its log says why.")

    def _supervise(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for worker in self._workers:
                worker.look_after(self._command(), self._logs, self._say)

    def _start_service(self) -> None:
        self._listener = listener = _listen(self.settings.host, self.settings.port)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        if self.settings.database.get_backend_name() != "sqlite":
            upgrade(self.settings)  # an SQLite file the app brings up to date by itself
        config = uvicorn.Config(
            create_app(self.settings),
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="service", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        with Client(self.url, timeout_seconds=5.0) as client:
            while not client.is_ready():
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    raise StartError(
                        f"The service at {self.url} did not become ready; its log says why."
                    )
                time.sleep(_LOOK_SECONDS / 5)

    def _stop(self) -> None:
        """Workers first: they hand their work back over HTTP. None is left behind."""
        self._stopping.set()
        try:
            if self._supervisor.is_alive():
                self._supervisor.join()
            for worker in self._workers:
                worker.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for worker in self._workers:
                worker.wait(deadline)
        finally:
            for worker in self._workers:
                worker.kill()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        if self._listener is not None:
            self._listener.close()

    def _command(self) -> list[str]:
        threads = max(1, _cores() // max(1, len(self._workers)))
        cache = self.settings.data_dir / "worker"
        return [
            *(sys.executable, "-m", "lrsearch_worker", "run"),
            *("--url", self.url, "--data", str(cache)),
            *("--device", self._device, "--threads", str(threads)),
        ]


@dataclass
class _WorkerProcess:
    """One place for a worker, and the process that fills it."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    deaths: int = 0
    started_at: float = 0.0
    start_again_at: float | None = field(default=None)

    def start(self, command: list[str], logs: Path | None) -> None:
        if logs is not None and self.log is None:
            logs.mkdir(parents=True, exist_ok=True)
            self.log = (logs / f"worker-{self.number}.log").open("ab")
        # Threads that wait actively would take the cores from the service and from each other.
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        # A session of its own: Ctrl-C in the terminal must not reach the worker before us.
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            env=environment,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        self.start_again_at = None

    def look_after(self, command: list[str], logs: Path | None, say: Callable[[str], None]) -> None:
        now = time.monotonic()
        if self.start_again_at is not None:
            if now >= self.start_again_at:
                self.start(command, logs)
            return
        code = None if self.process is None else self.process.poll()
        if code is None:
            return
        if now - self.started_at > LONGEST_BACKOFF_SECONDS:
            self.deaths = 0
        pause = min(2.0**self.deaths, LONGEST_BACKOFF_SECONDS)
        self.deaths += 1
        self.start_again_at = now + pause
        say(f"Worker {self.number} ended ({_ending(code)}); starting it again in {pause:.0f} s.")

    def terminate(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def wait(self, deadline: float) -> None:
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(max(deadline - time.monotonic(), 0.1))

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.log is not None:
            self.log.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"Port {port} on {host} cannot be had ({error.strerror}); choose another with --port."
        ) from error
    return listener


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _cores() -> int:
    """Cores that this process may use, where the system tells."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
