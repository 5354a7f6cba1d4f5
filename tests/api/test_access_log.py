"""What the access log leaves out."""

import logging

import pytest

from lrsearch.logs import is_news


@pytest.mark.parametrize(
    ("path", "status", "logged"),
    [
        ("/healthz", 200, False),
        ("/readyz", 503, False),
        ("/v1/jobs", 200, True),
        ("/v1/jobs?name=/readyz", 200, True),
        ("/v1/leases", 204, False),
        ("/v1/leases/1/heartbeat", 200, False),
        ("/v1/leases/1/heartbeat", 409, True),
    ],
)
def test_what_comes_all_the_time_and_goes_well_is_not_logged(
    path: str, status: int, logged: bool
) -> None:
    arguments = ("127.0.0.1:5", "GET", path, "1.1", status)
    record = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 0, '%s - "%s %s HTTP/%s" %d', arguments, None
    )

    assert is_news(record) is logged
