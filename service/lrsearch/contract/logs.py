"""Logs of trials: what a worker said while it ran one."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field, field_validator

from lrsearch.contract.base import Contract, Identifier

MAX_LINE_CHARACTERS = 4000
"""Of one line's text; a traceback is one line."""

MAX_LINES = 1000
"""Of one trial in one message."""

LogLevel = Literal["debug", "info", "warning", "error", "critical"]


class LogLine(Contract):
    """One happening."""

    number: int = Field(
        ge=1, le=2**31 - 1, description="Counts up within a trial under a lease; may have gaps."
    )
    at: AwareDatetime = Field(
        ge=datetime(1970, 1, 1, tzinfo=UTC),
        lt=datetime(9000, 1, 1, tzinfo=UTC),
        description="By the worker's clock.",
    )
    level: LogLevel
    text: str = Field(max_length=MAX_LINE_CHARACTERS)

    @field_validator("at", mode="before")
    @classmethod
    def _is_no_number(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError(
                f"is the number {value:g}; must be a time such as 2026-01-31T12:00:00Z"
            )
        return value


class WorkLog(Contract):
    """Lines of a piece of work; those that were sent before may come again."""

    work_id: Identifier
    lines: list[LogLine] = Field(max_length=MAX_LINES)
