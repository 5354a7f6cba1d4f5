"""Replicas of the service, as processes: killed, started again, and with a full disk.

The disk is full by the kernel's own limit on the size of files that the process may write, which
is set and lifted from outside: every write to a file fails then, in the real file layer. (It fails
with EFBIG instead of ENOSPC; no mount, no root and no change of the service are needed for it.)
"""

import os
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

START_SECONDS = 120.0
"""How long a replica may take until it answers."""


class Replicas:
    """Run while a `with` block does.

    Args:
        number: How many.
        folder: For their logs; their data lies below it.
        environment: Their settings, `LRSEARCH_…`.
    """

    def __init__(self, number: int, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = os.environ | environment
        self.ports = _free_ports(number)
        self._killed: set[int] = set()
        self._logs: list[subprocess.Popen[bytes]] = []
        self._processes = [self._start(index) for index in range(number)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for log in self._logs:
            log.wait()

    def wait_until_ready(self) -> None:
        """Return once all answer."""
        for port in self.ports:
            _wait_until_ready(port)

    def kill(self, index: int) -> None:
        """End one at once, in the middle of whatever it does."""
        self._processes[index].kill()
        self._processes[index].wait()
        self._killed.add(index)

    def start(self, index: int) -> None:
        """Start one that was killed again, on its port."""
        self._killed.discard(index)
        self._processes[index] = self._start(index)

    def fill_disk(self) -> None:
        """From now on nobody can write a file."""
        self._limit_files(0)

    def free_disk(self) -> None:
        """Files can be written again."""
        self._limit_files(resource.RLIM_INFINITY)

    def all_ready(self) -> bool:
        """Whether all answer now."""
        try:
            for port in self.ports:
                httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2.0).raise_for_status()
        except httpx.HTTPError:
            return False
        return True

    def supervise(self) -> None:
        """Start those again that have ended by themselves: one does if it finds no database."""
        for index, process in enumerate(self._processes):
            if index not in self._killed and process.poll() is not None:
                self._processes[index] = self._start(index)

    def _start(self, index: int) -> subprocess.Popen[bytes]:
        program = "from lrsearch.cli.main import app; app()"
        command = [sys.executable, "-c", program, "serve", "--port", str(self.ports[index])]
        with (self._folder / f"replica-{index}.log").open("ab") as file:
            # Through a pipe: a log that is a file would be full with the disk.
            log = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        self._logs.append(log)
        assert log.stdin is not None
        with log.stdin as pipe:
            return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe)

    def _limit_files(self, size: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, most))


def _free_ports(number: int) -> list[int]:
    """Ports that no client is given meanwhile, as it may be where the system chooses one."""
    found: list[int] = []
    first = 20_000 + os.getpid() % 10_000  # another suite beside this one looks elsewhere
    for port in range(first, 32_000):
        if len(found) == number:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


@retry(
    retry=retry_if_exception_type(httpx.HTTPError),
    wait=wait_fixed(0.2),
    stop=stop_after_delay(START_SECONDS),
    reraise=True,
)
def _wait_until_ready(port: int) -> None:
    httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10.0).raise_for_status()
