"""A storm is told from a fleet at work by how much comes in."""

from lrsearch.upkeep.storm import STORM_PER_SECOND, WINDOW_SECONDS, Storm


class _Day:
    """A clock, and what comes in at an even rate."""

    def __init__(self) -> None:
        self.now, self._owed = 0.0, 0.0
        self.storm = Storm(lambda: self.now)

    def goes_on(self, seconds: float, per_second: float) -> list[bool]:
        """Whether a storm rages, asked 100 times a second."""
        found = []
        for _ in range(round(100 * seconds)):
            self.now += 0.01
            self._owed += 0.01 * per_second
            while self._owed >= 1.0:
                self.storm.note()
                self._owed -= 1.0
            found.append(self.storm.rages())
        return found


def test_a_fleet_at_work_is_no_storm() -> None:
    assert not any(_Day().goes_on(10.0, per_second=STORM_PER_SECOND / 2))


def test_a_storm_is_noticed_within_two_windows_and_rages_as_long_as_it_lasts() -> None:
    day = _Day()
    day.goes_on(10.0, per_second=1.0)

    found = day.goes_on(10.0, per_second=5 * STORM_PER_SECOND)

    assert all(found[round(200 * WINDOW_SECONDS) :])


def test_a_storm_is_over_within_two_windows() -> None:
    day = _Day()
    day.goes_on(10.0, per_second=5 * STORM_PER_SECOND)

    found = day.goes_on(10.0, per_second=1.0)

    assert not any(found[round(200 * WINDOW_SECONDS) :])


def test_requests_that_come_together_once_are_no_storm() -> None:
    day = _Day()
    day.goes_on(10.0, per_second=0.0)
    for _ in range(round(STORM_PER_SECOND * WINDOW_SECONDS)):
        day.storm.note()

    assert not any(day.goes_on(10.0, per_second=0.0))
