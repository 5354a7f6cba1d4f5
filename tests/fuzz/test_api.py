"""The API withstands whatever its own description lets one send: a few hundred requests of it.

`make test-api` sends thousands, on PostgreSQL as well.
"""

from tests.fuzz.api.suite import SHORT, run


def test_no_request_meets_a_fault_or_an_answer_that_is_not_declared() -> None:
    report = run(SHORT, seed=0)
    assert report.findings == []
    assert report.figures["cases"] >= 200
    assert report.figures["statuses"]["200"] >= 30, "too few of them were aimed well"
