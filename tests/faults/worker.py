"""A worker process: the real loop over a replay. Importing this needs no torch."""

import logging
import os
import signal
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from lrsearch.contract.workers import Device, WorkerRegistration
from lrsearch_worker import trial_logs
from lrsearch_worker.loop import Loop
from lrsearch_worker.retry import Patience
from lrsearch_worker.service import Service
from tests.faults.curves import Curves
from tests.faults.journal import Journal
from tests.faults.runner import Replay


class Options(NamedTuple):
    """Of a worker process."""

    name: str
    url: str
    curves: Path
    journal: Path
    log: Path
    epoch_seconds: float
    max_trials: int
    clock_off_seconds: float
    """What its clock is ahead of everybody else's."""


def work(options: Options) -> None:
    """Run in this process, until it is killed."""
    shift_clock(options.clock_off_seconds)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            trial_logs.TRIAL_LOGS,
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=options.log.open("a", buffering=1)),
    )
    service, hearts_service = Service(options.url), Service(options.url)
    loop = Loop(
        service,
        hearts_service,
        Replay(service, Curves(options.curves), Journal(options.journal), options.epoch_seconds),
        WorkerRegistration(
            name=options.name, device=Device(kind="cpu", name="replay", memory_bytes=None)
        ),
        options.max_trials,
        Patience(first_seconds=0.2, longest_seconds=2.0),
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the suite ends its workers itself
    try:
        loop.run()
    except Exception:
        structlog.get_logger(__name__).exception("worker ends")
        os._exit(1)
    os._exit(0)  # without the farewells of what was inherited


def shift_clock(seconds: float) -> None:
    """Put this process's clock ahead of, or behind, the time of day; durations stay true."""
    if not seconds:
        return
    real, offset = time.time, timedelta(seconds=seconds)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(real(), tz) + offset

    time.time = lambda: real() + seconds
    trial_logs.datetime = Shifted  # type: ignore[misc]
    assert abs((Shifted.now(UTC).timestamp() - real()) - seconds) < 60.0
