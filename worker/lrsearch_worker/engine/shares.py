"""Shares: a time that several runs have in common, divided between them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from time import perf_counter


class Shares:
    """Seconds of wall clock that each of some runs has had.

    While `n` runs are at work at a time, a second gives each of them 1/n; so the shares of all
    the runs add up to the time in which any was at work.

    Args:
        runs: How many there are.
        now: Tells the time in seconds.
    """

    def __init__(self, runs: int, now: Callable[[], float] = perf_counter) -> None:
        self._seconds = [0.0] * runs
        self._at_work: set[int] = set()
        self._now = now
        self._counted_until = 0.0
        self._lock = Lock()

    @contextmanager
    def counted(self, run: int) -> Iterator[None]:
        """Count the time of the block for run number `run`."""
        with self._lock:
            self._count()
            self._at_work.add(run)
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._at_work.discard(run)

    def clock(self, run: int) -> Callable[[], float]:
        """Tells the seconds that run number `run` has had until now."""
        return partial(self._read, run)

    def _read(self, run: int) -> float:
        with self._lock:
            self._count()
            return self._seconds[run]

    def _count(self) -> None:
        now = self._now()
        for run in self._at_work:
            self._seconds[run] += (now - self._counted_until) / len(self._at_work)
        self._counted_until = now
