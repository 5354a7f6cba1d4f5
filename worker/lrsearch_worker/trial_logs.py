"""Lines of the log that are about a trial, kept until the service has them."""

from collections import deque
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, NamedTuple

import structlog
from structlog.typing import EventDict, WrappedLogger

from lrsearch.contract.leases import Lease, TrialWork
from lrsearch.contract.logs import MAX_LINE_CHARACTERS, LogLevel, LogLine, WorkLog

MAX_PENDING_CHARACTERS: Final = 16 * 1024
"""Of a trial's lines that the service has not got yet; the oldest go first."""

MAX_PENDING_LINES: Final = 500

_LEVELS: Final[dict[str, LogLevel]] = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}

_NOT_SHOWN: Final = {"event", "job", "trial", "lease", "level", "timestamp", "exc_info", "_record"}


class _Key(NamedTuple):
    job: str
    trial: int


class TrialLogs:
    """A processor of structlog that keeps lines which name a job and a trial of an open lease.

    Any thread may call any method.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: dict[_Key, _Pending] = {}

    def __call__(self, _: WrappedLogger, method: str, line: EventDict) -> EventDict:
        """Keep the line if it is about a trial, and pass it on as it is."""
        job, trial = line.get("job"), line.get("trial")
        if isinstance(job, str) and isinstance(trial, int):
            with self._lock:
                pending = self._open.get(_Key(job, trial))
                if pending is not None:
                    pending.add(_LEVELS.get(method, "info"), _text(line))
        return line

    def begin(self, lease: Lease) -> None:
        """Keep lines of a lease's trials from now on, numbered from 1."""
        with self._lock:
            self._open |= {key: _Pending() for key in _keys(lease).values()}

    def end(self, lease: Lease) -> None:
        """Keep none any more."""
        with self._lock:
            for key in _keys(lease).values():
                self._open.pop(key, None)

    def pending(self, lease: Lease) -> list[WorkLog]:
        """What the service has not got yet, by piece of work."""
        with self._lock:
            found = {
                work_id: list(self._open[key].lines)
                for work_id, key in _keys(lease).items()
                if key in self._open
            }
        return [WorkLog(work_id=work_id, lines=lines) for work_id, lines in found.items() if lines]

    def delivered(self, lease: Lease, logs: list[WorkLog]) -> None:
        """The service has got these."""
        keys = _keys(lease)
        with self._lock:
            for log in logs:
                pending = self._open.get(keys[log.work_id])
                if pending is not None and log.lines:
                    pending.forget(log.lines[-1].number)


class _Pending:
    def __init__(self) -> None:
        self.lines: deque[LogLine] = deque()
        self._characters = 0
        self._last = 0

    def add(self, level: LogLevel, text: str) -> None:
        self._last += 1
        line = LogLine(number=self._last, at=datetime.now(UTC), level=level, text=text)
        self.lines.append(line)
        self._characters += len(text)
        while len(self.lines) > 1 and (
            len(self.lines) > MAX_PENDING_LINES or self._characters > MAX_PENDING_CHARACTERS
        ):
            self._characters -= len(self.lines.popleft().text)

    def forget(self, up_to: int) -> None:
        while self.lines and self.lines[0].number <= up_to:
            self._characters -= len(self.lines.popleft().text)


def _keys(lease: Lease) -> dict[str, _Key]:
    """Of the trials' pieces of work."""
    if lease.task is None:
        return {}
    job = lease.task.job_id
    return {work.id: _Key(job, work.number) for work in lease.work if isinstance(work, TrialWork)}


def _text(line: EventDict) -> str:
    """The line without what says which trial it is about; a traceback goes below it."""
    words = [str(line.get("event", ""))]
    words += [f"{name}={value!r}" for name, value in line.items() if name not in _NOT_SHOWN]
    text = " ".join(words)
    if line.get("exc_info"):
        shown: Any = structlog.processors.format_exc_info(None, "error", dict(line))
        text += f"\n{shown.get('exception', '')}"
    return (
        text[:MAX_LINE_CHARACTERS].encode(errors="backslashreplace").decode()[:MAX_LINE_CHARACTERS]
    )


TRIAL_LOGS: Final = TrialLogs()
"""Of this process."""
