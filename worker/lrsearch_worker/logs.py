"""Structured logs: one line a happening, for people on a terminal and JSON elsewhere."""

import sys

import structlog
from structlog.typing import Processor

from lrsearch_worker.settings import LogFormat
from lrsearch_worker.trial_logs import TRIAL_LOGS


def configure_logs(form: LogFormat) -> None:
    """Send the log to standard error.

    Args:
        form: `console` for people, `json` for programs, `auto` according to whether standard
            error is a terminal.
    """
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if people else "iso", utc=not people),
        TRIAL_LOGS,
    ]
    rendered: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if people
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *rendered],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
