"""Structured logs of the service: a line a happening, for people on a terminal, else JSON."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import TextIO, cast

import structlog
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor


def configure_logs(stream: TextIO) -> None:
    """Sends everything that is logged to `stream`, that of libraries included."""
    people = stream.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
    ]
    rendered: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if people
        else [
            # Without local variables, which may hold keys: unlike the library's default.
            ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Spoken(stream))),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(is_news)


class _Spoken:
    """A stream for what may be lost: a full disk or a closed pipe stops nobody who logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write, where that can be done."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """As `write`."""
        with suppress(OSError):
            self._stream.flush()


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of the access log tells something.

    That somebody asks every few seconds whether we are there does not; nor do the messages of
    workers that were taken: what they bring about has lines of its own.
    """
    match record.args:
        case (_, str(), str(path), _, int(status)):
            route = path.partition("?")[0]
            if route in ("/healthz", "/readyz"):
                return False
            return status >= HTTPStatus.BAD_REQUEST or not route.startswith("/v1/leases")
        case _:
            return True


@contextmanager
def logs_in(file: Path) -> Iterator[None]:
    """Sends the log to a file for a while, afterwards where it went before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    with file.open("a", encoding="utf-8") as stream:
        root.handlers.clear()  # else they would be closed, not put aside
        configure_logs(stream)
        try:
            yield
        finally:
            structlog.configure(**before)
            root.handlers[:] = handlers
            root.setLevel(level)
