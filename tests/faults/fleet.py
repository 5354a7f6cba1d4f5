"""The fleet: worker processes, started from one that has imported everything already."""

import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final
from unittest.mock import patch

from tests.faults.worker import Options, work

HOURS_OFF: Final = (-26.0, 5.0)
"""What the clocks of every eighth worker are off by, in turns."""


class Fleet:
    """Any number of workers of which so many are to run.

    Args:
        size: Workers that run.
        url: Of the service.
        folder: With the curves, for the journal and logs.
        epoch_seconds: How long an epoch takes.
    """

    def __init__(self, size: int, url: str, folder: Path, epoch_seconds: float) -> None:
        self._url, self._folder, self._epoch_seconds = url, folder, epoch_seconds
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.faults.worker"])
        self._running: list[ForkServerProcess] = []
        self._frozen: list[ForkServerProcess] = []
        self.ended: list[str] = []
        """Names of those that ended by themselves, which none should."""
        self.started = 0
        for _ in range(size):
            self.start()

    def start(self) -> None:
        """One more."""
        number = self.started
        options = Options(
            name=f"replay-{number}",
            url=self._url,
            curves=self._folder / "curves.json",
            journal=self._folder / "journal.jsonl",
            log=self._folder / f"replay-{number}.log",
            epoch_seconds=self._epoch_seconds,
            max_trials=1 + number % 2,
            clock_off_seconds=3600.0 * HOURS_OFF[number // 8 % 2] if number % 8 == 3 else 0.0,
        )
        process = self._context.Process(target=work, args=(options,), name=options.name)
        # Else each would import what runs us anew, which may be all of pytest.
        with patch.dict(sys.modules, {"__main__": ModuleType("__main__")}):
            process.start()
        self._running.append(process)
        self.started += 1

    def kill(self, random: Random) -> None:
        """End one at once, in the middle of whatever it does, and start another."""
        process = self._running.pop(random.randrange(len(self._running)))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            self.ended.append(process.name)
        self.start()

    def supervise(self) -> None:
        """Note those that have ended by themselves, and start others in their place."""
        for process in [each for each in self._running if each.exitcode is not None]:
            self._running.remove(process)
            self.ended.append(process.name)
            self.start()

    def freeze(self, random: Random) -> None:
        """Stop one without its knowing."""
        process = self._running.pop(random.randrange(len(self._running)))
        _signal(process, signal.SIGSTOP)
        self._frozen.append(process)

    def thaw(self) -> None:
        """Let the one that has been frozen the longest go on, as if nothing had happened."""
        process = self._frozen.pop(0)
        _signal(process, signal.SIGCONT)
        self._running.append(process)

    @property
    def frozen(self) -> int:
        """How many are frozen."""
        return len(self._frozen)

    def close(self) -> None:
        """End all at once: nothing is left to do."""
        for process in [*self._running, *self._frozen]:
            process.kill()
            process.join()


def _signal(process: ForkServerProcess, number: int) -> None:
    assert process.pid is not None
    with suppress(ProcessLookupError):  # it has ended by itself: `supervise` finds it
        os.kill(process.pid, number)
