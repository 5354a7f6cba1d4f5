"""How long things took, and how that is told."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from time import perf_counter


class Latencies:
    """Seconds by the name of what took them."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long the block takes, unless it fails."""
        started = perf_counter()
        yield
        self.seconds[name].append(perf_counter() - started)

    def told(self, name: str) -> dict[str, float | int | None]:
        """Count, median and 99th percentile of a name, in milliseconds."""
        taken = self.seconds[name]
        return {
            "count": len(taken),
            "p50_ms": milliseconds(quantile(taken, 0.5)),
            "p99_ms": milliseconds(quantile(taken, 0.99)),
        }


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(ceil(share * len(values)), 1) - 1]


def milliseconds(seconds: float | None) -> float | None:
    """Rounded for people."""
    return None if seconds is None else round(1000.0 * seconds, 2)
