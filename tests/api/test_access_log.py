"""What the access log leaves out."""

import logging

import pytest

from lrsearch.logs import is_no_health_check


@pytest.mark.parametrize(
    ("path", "logged"),
    [("/healthz", False), ("/readyz", False), ("/v1/jobs", True), ("/v1/jobs?name=readyz", True)],
)
def test_health_checks_are_not_logged(path: str, logged: bool) -> None:
    arguments = ("127.0.0.1:5", "GET", path, "1.1", 200)
    record = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', arguments, None
    )

    assert is_no_health_check(record) is logged
