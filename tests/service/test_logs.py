"""The service's log, where it cannot be written."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from lrsearch.logs import configure_logs


class _Full(StringIO):
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    root.handlers.clear()
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    configure_logs(_Full())
    structlog.get_logger("lrsearch").warning("the database did not answer")


def test_a_log_that_can_be_written_is() -> None:
    stream = StringIO()
    configure_logs(stream)
    structlog.get_logger("lrsearch").warning("the database did not answer", thread="keep")
    assert '"event": "the database did not answer"' in stream.getvalue()
    assert '"thread": "keep"' in stream.getvalue()
