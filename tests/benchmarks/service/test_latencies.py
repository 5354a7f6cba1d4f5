"""What is told of latencies."""

import pytest

from tests.benchmarks.service.latencies import Latencies, quantile


def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert quantile(values, 0.5) == 100.0
    assert quantile(values, 0.99) == 198.0
    assert quantile(values, 1.0) == 200.0
    assert quantile([3.0], 0.01) == 3.0


def test_of_nothing_there_is_no_quantile() -> None:
    assert Latencies().told("claim") == {"count": 0, "p50_ms": None, "p99_ms": None}


def test_what_fails_is_not_timed() -> None:
    latencies = Latencies()
    with pytest.raises(RuntimeError), latencies.timed("claim"):
        raise RuntimeError
    with latencies.timed("claim"):
        pass
    assert latencies.told("claim")["count"] == 1
