"""Patience with a service that is away for a while."""

from collections.abc import Callable
from threading import Event
from typing import Final, NamedTuple, TypeVar

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_random_exponential,
)

from lrsearch_worker.errors import ServiceAwayError

Reply = TypeVar("Reply")


class Patience(NamedTuple):
    """How long to wait between tries.

    Each wait is drawn between 0 and a bound that doubles from `first_seconds` to
    `longest_seconds`, so that workers do not come back all at once.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 30.0


PATIENCE: Final = Patience()

log = structlog.get_logger(__name__)


def persistently(request: Callable[[], Reply], over: Event, patience: Patience = PATIENCE) -> Reply:
    """Make a request again and again until the service answers it.

    Raises:
        ServiceAwayError: `over` was set before there was an answer.
    """
    retrying = Retrying(
        retry=retry_if_exception_type(ServiceAwayError),
        wait=wait_random_exponential(patience.first_seconds, patience.longest_seconds),
        sleep=sleep_using_event(over),
        stop=stop_when_event_set(over),
        before_sleep=_say,
        reraise=True,
    )
    return retrying(request)


def _say(state: RetryCallState) -> None:
    log.warning(
        "service away",
        reason=str(state.outcome and state.outcome.exception()),
        tries=state.attempt_number,
        next_seconds=round(state.upcoming_sleep, 1),
    )
