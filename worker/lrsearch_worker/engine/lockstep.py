"""Lockstep: several runs side by side, the one furthest behind always next.

Runs that use the same batches then want each at about the same time, so that it is made once and
soon forgotten; a run that ends early leaves without the others noticing.
"""

from collections.abc import Generator, Sequence
from contextvars import copy_context
from heapq import heapify, heappop, heappush
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Generic, TypeVar

from lrsearch_worker.engine.shares import Shares

Result = TypeVar("Result")
Run = Generator[object, None, Result]
"""Yields after each of its steps; what it returns is its result."""


def side_by_side(
    runs: Sequence[Run[Result]], threads: int, shares: Shares
) -> Generator[tuple[int, Result], None, None]:
    """Take the steps of `runs`, and yield each one's number and result as it ends.

    What a run computes must not depend on the thread that computes it, nor on its companions.

    Args:
        runs: What is to be done.
        threads: Steps that are taken at a time; each thread leaves torch's settings as they are.
        shares: Counts the time that each run takes.

    Raises:
        BaseException: The first one that a run raises; the others end with it.
    """
    group = _Group(runs, shares)
    for _ in range(min(threads, len(runs))):
        thread = Thread(target=copy_context().run, args=(group.work,), name="lockstep", daemon=True)
        group.threads.append(thread)
        thread.start()
    try:
        for _ in runs:
            ended = group.ended.get()
            if isinstance(ended, BaseException):
                raise ended
            yield ended
    finally:
        group.stop()


class _Group(Generic[Result]):
    def __init__(self, runs: Sequence[Run[Result]], shares: Shares) -> None:
        self.ended: SimpleQueue[tuple[int, Result] | BaseException] = SimpleQueue()
        self.threads: list[Thread] = []
        self._runs = runs
        self._shares = shares
        self._waiting = [(0, number) for number in range(len(runs))]  # by steps taken
        heapify(self._waiting)
        self._left = len(runs)
        self._changed = Condition()

    def stop(self) -> None:
        """Let no further step begin, and wait for those that are being taken."""
        with self._changed:
            self._left = 0
            self._changed.notify_all()
        for thread in self.threads:
            thread.join()
        for run in self._runs:
            run.close()

    def work(self) -> None:
        """Take one step after another, of whichever run is furthest behind."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self._left)
                if not self._left:
                    return
                steps, number = heappop(self._waiting)
            ended: tuple[int, Result] | BaseException | None = None
            try:
                with self._shares.counted(number):
                    next(self._runs[number])
            except StopIteration as end:
                ended = number, end.value
            except BaseException as error:
                ended = error
            with self._changed:
                if ended is None:
                    heappush(self._waiting, (steps + 1, number))
                    self._changed.notify()
                    continue
                self._left = 0 if isinstance(ended, BaseException) else max(self._left - 1, 0)
                self._changed.notify_all()
            self.ended.put(ended)
