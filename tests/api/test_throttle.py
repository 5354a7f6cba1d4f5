"""Token buckets, by a clock that the tests set."""

import pytest

from lrsearch.api.throttle import BURST_SECONDS, Throttle


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def granted(throttle: Throttle, per_second: float, requests: int = 100, key: str = "key") -> int:
    """How many of so many requests at this moment are granted."""
    return sum(throttle.take(key, per_second) == 0.0 for _ in range(requests))


def test_a_rested_key_has_a_burst_and_then_its_rate(throttle: Throttle, clock: Clock) -> None:
    assert granted(throttle, 4.0) == 4.0 * BURST_SECONDS
    clock.seconds += 0.25
    assert granted(throttle, 4.0) == 1
    clock.seconds += 1.0
    assert granted(throttle, 4.0) == 4
    clock.seconds += 3600.0
    assert granted(throttle, 4.0) == 4.0 * BURST_SECONDS  # rest is not saved for ever


def test_a_refusal_says_when_there_is_room_and_costs_nothing(
    throttle: Throttle, clock: Clock
) -> None:
    granted(throttle, 4.0)
    wait_seconds = throttle.take("key", 4.0)
    assert wait_seconds == 0.25
    assert throttle.take("key", 4.0) == wait_seconds
    clock.seconds += wait_seconds
    assert throttle.take("key", 4.0) == 0.0


def test_a_rate_below_one_a_burst_lets_one_through(throttle: Throttle, clock: Clock) -> None:
    assert granted(throttle, 0.125) == 1
    clock.seconds += 8.0
    assert granted(throttle, 0.125) == 1


def test_keys_do_not_share_a_bucket(throttle: Throttle) -> None:
    assert granted(throttle, 4.0, key="one") == granted(throttle, 4.0, key="other")
