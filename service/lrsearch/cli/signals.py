"""Signals that end a command which has something to stop first."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HASTE_SECONDS = 0.5
"""Ctrl-C is pressed a second time by who does not want to wait, after so long at the least.

What comes sooner is the same request once more: some senders signal a process and then its group.
"""


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; a second Ctrl-C interrupts."""
    stop = threading.Event()
    with _handling(stop.set):
        yield stop


@contextmanager
def interrupting_signals() -> Iterator[None]:
    """Lets SIGTERM and a closed terminal do what Ctrl-C does, so that `with` blocks are left.

    Only a second Ctrl-C interrupts what then is being stopped.
    """
    with _handling(_interrupt):
        yield


@contextmanager
def _handling(first: Callable[[], None]) -> Iterator[None]:
    """Calls `first` on the first signal; interrupts on a later Ctrl-C."""
    signalled_at: float | None = None

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal signalled_at
        now = time.monotonic()
        if signalled_at is None:
            signalled_at = now
            first()
        elif number == signal.SIGINT and now - signalled_at >= HASTE_SECONDS:
            _interrupt()

    before = {kind: signal.signal(kind, on_signal) for kind in _SIGNALS}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _interrupt() -> None:
    raise KeyboardInterrupt


_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
