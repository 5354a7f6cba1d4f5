"""The gate: keys are recognised there, their use is noted, and they are held to their rate."""

from dataclasses import replace
from threading import Lock
from time import monotonic

from lrsearch.access import keys
from lrsearch.access.limits import limits_of
from lrsearch.access.principals import Principal
from lrsearch.api.throttle import Throttle
from lrsearch.db.engine import Database
from lrsearch.errors import LimitError
from lrsearch.settings import Settings

NOTE_SECONDS = 60.0
"""How often the use of a key is written down at most."""


class Gate:
    """Of one replica, with its database and settings."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._throttle, self._guard = Throttle(), Lock()
        self._noted: dict[str, float] = {}

    def recognise(self, secret: str) -> Principal:
        """Whose key it is, with the limits that hold for it.

        Raises:
            UnauthenticatedError: it is unknown, expired or revoked.
        """
        with self._database.read() as session:
            principal = keys.authenticate(session, secret)
        assert principal.key_id is not None
        if self._is_to_be_noted(principal.key_id):
            with self._database.write() as session:
                keys.note_use(session, principal.key_id)
        return replace(principal, limits=limits_of(principal, self._settings))

    def count(self, principal: Principal) -> None:
        """Count a request; raises `LimitError` where there are too many."""
        rate = principal.limits.requests_per_second
        if rate is None or principal.key_id is None:
            return
        wait_seconds = self._throttle.take(principal.key_id, rate)
        if wait_seconds > 0.0:
            raise LimitError(
                detail=f"The key allows {rate:g} requests per second.",
                remedy="Send it again after the seconds that Retry-After names.",
                code="too_many_requests",
                retry_after_seconds=wait_seconds,
            )

    def _is_to_be_noted(self, key_id: str) -> bool:
        now = monotonic()
        with self._guard:
            if now - self._noted.get(key_id, float("-inf")) < NOTE_SECONDS:
                return False
            self._noted[key_id] = now
            return True
