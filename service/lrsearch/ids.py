"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by time of creation."""

import os
import time
from threading import Lock
from uuid import UUID


def new_id() -> str:
    """A new identifier, 36 characters; in a process each is greater than those before it."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(UUID(int=_sequence.after(value)))


class _Sequence:
    """Keeps order within a millisecond, and where the clock is set back."""

    def __init__(self) -> None:
        self._last, self._guard = 0, Lock()

    def after(self, value: int) -> int:
        """The value, or the next above the last one where that is greater."""
        with self._guard:
            self._last = max(value, self._last + 1)
            return self._last


_sequence = _Sequence()
