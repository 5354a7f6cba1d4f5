"""How often a key may ask: token buckets, one for each key, of this replica alone."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

BURST_SECONDS = 2.0
"""How long a key that has rested may ask as fast as it likes: it has saved so many seconds'
requests."""


class Throttle:
    """Counts requests.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock, self._guard = clock, Lock()
        self._full_at: dict[str, float] = {}
        """When the bucket of a key will be full again; a number tells all about a bucket."""

    def take(self, key_id: str, per_second: float) -> float:
        """Count a request, if there is room for it.

        Args:
            key_id: Whose it is.
            per_second: Requests that are allowed on the average.

        Returns:
            0, or the seconds until there is room; then the request is not counted.
        """
        token_seconds = 1.0 / per_second
        bucket_seconds = max(BURST_SECONDS, token_seconds)
        with self._guard:
            now = self._clock()
            full_at = max(self._full_at.get(key_id, now), now) + token_seconds
            if full_at - now > bucket_seconds:
                return full_at - now - bucket_seconds
            self._full_at[key_id] = full_at
            return 0.0
