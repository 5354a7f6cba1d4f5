"""Where the engine's time goes, by looking at what each of its threads is doing now and then.

Nothing in the engine is touched: a thread of the benchmark's own reads the Python stacks of the
others a few hundred times a second. Torch's operators release the interpreter's lock, so that a
look does not wait for them.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

INTERVAL_SECONDS: Final = 0.003

PHASES: Final = ("data", "prefix", "forward", "backward", "optimiser", "evaluation", "other")

_MARKS: Final = (
    # The first of these that is anywhere on a thread's stack tells its phase.
    ("data", ("data/decode.py", "data/images.py", "data/splits.py", "data/augment.py")),
    ("prefix", ("lrsearch_worker/engine/activations.py", "lrsearch_worker/engine/recent.py")),
    ("evaluation", ("lrsearch_worker/engine/metrics.py",)),
    ("backward", ("torch/autograd/__init__.py", "torch/_tensor.py:backward")),
    ("optimiser", ("torch/optim/", "lrsearch_worker/engine/optimiser.py")),
    ("data", ("lrsearch_worker/data/",)),
    ("forward", ("lrsearch_worker/networks/", "torch/nn/")),
)
_WAITING: Final = (
    "/threading.py:",
    "/concurrent/futures/thread.py:",
    "lrsearch_worker/engine/lockstep.py:side_by_side",
)


@contextmanager
def watched() -> Iterator[Counter[str]]:
    """Count, while the block runs, the thread-seconds of each phase.

    Threads that wait count nothing: with two threads at work, a second of both is two.
    """
    looks: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(looks, done), daemon=True)
    started = time.perf_counter()
    watcher.start()
    try:
        yield seconds
    finally:
        done.set()
        watcher.join()
        each = (time.perf_counter() - started) / max(1, looks.pop("looks"))
        seconds.update({phase: looks[phase] * each for phase in PHASES})


def _watch(looks: Counter[str], done: threading.Event) -> None:
    own = threading.get_ident()
    while not done.wait(INTERVAL_SECONDS):
        looks["looks"] += 1
        for thread, frame in sys._current_frames().items():
            if thread != own and (phase := _phase(frame)):
                looks[phase] += 1


def _phase(frame: FrameType) -> str | None:
    """What a thread is at; `None` if it waits."""
    top = _place(frame)
    if any(waiting in top for waiting in _WAITING):
        return None
    places = []
    walker: FrameType | None = frame
    while walker is not None:
        places.append(_place(walker))
        walker = walker.f_back
    for phase, marks in _MARKS:
        if any(mark in place for place in places for mark in marks):
            return phase
    return "other"


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).as_posix()}:{frame.f_code.co_name}"
