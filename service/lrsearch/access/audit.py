"""The audit log: a line for everything that somebody did or was refused."""

import structlog

from lrsearch.access.principals import Principal

log = structlog.get_logger(__name__)


def record(principal: Principal | None, action: str, **objects: str | int | None) -> None:
    """Log who did what, under the event `audit`.

    Args:
        principal: Who; null where no key was recognised.
        action: What, as a verb and a noun: `submit_job`.
        objects: On which: their kinds with their ids, and what else matters.
    """
    log.info(
        "audit",
        action=action,
        owner=principal.owner if principal else None,
        key=principal.key_id if principal else None,
        **objects,
    )
