"""Storms: times in which so many requests come in that work in the background gives way to them."""

from collections.abc import Callable
from time import monotonic

STORM_PER_SECOND = 20.0
"""Claims and reports that are more than what a fleet with real trials sends."""

WINDOW_SECONDS = 0.5
"""In which they are counted, at least: in a moment chance decides."""


class Storm:
    """Counts what comes in.

    Args:
        clock: In seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._came = self._came_before = 0
        self._since = clock()
        self._rages = False

    def note(self) -> None:
        """Something came in."""
        self._came += 1

    def rages(self) -> bool:
        """Whether more has come lately than from a fleet at work."""
        now = self._clock()
        seconds = now - self._since
        if seconds >= WINDOW_SECONDS:
            self._rages = self._came - self._came_before > STORM_PER_SECOND * seconds
            self._since, self._came_before = now, self._came
        return self._rages
