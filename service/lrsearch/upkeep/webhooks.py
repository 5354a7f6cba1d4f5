"""Webhooks: who wants to be told of a job's end is, and again until it has been heard.

What is due stands in the job's row, written by the transaction that ends the job, so that no
restart loses it. An address that only this machine or its network can reach is refused, also
behind a name: users choose the addresses, and must not reach through the service what they cannot
reach themselves. The connection goes to the very address that was looked at.
"""

import asyncio
import socket
import time
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

import httpx
import structlog
from sqlalchemy import select

from lrsearch.contract.notifications import Notification
from lrsearch.contract.results import Result
from lrsearch.contract.webhooks import DELIVERY_HEADER, SIGNATURE_HEADER, signature_of
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import JobRow
from lrsearch.jobs.jobs import job_as_contract
from lrsearch.jobs.requests import request_of
from lrsearch.settings import Settings

RETRY_SECONDS: Final = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21_600.0, 43_200.0)
"""Pauses after attempts in vain; after the last of them there is one more, some 21 hours on."""

ATTEMPT_SECONDS: Final = 15.0
"""How long one attempt may take in all."""

SENDING_SECONDS: Final = 60.0
"""After so long, a replica that sends and does not say how it went is taken to have died."""

NAT64: Final = IPv6Network("64:ff9b::/96")

log = structlog.get_logger(__name__)


class _Due(NamedTuple):
    job_id: str
    url: str
    secret: str
    body: bytes
    attempt: int


def deliver_next(database: Database, settings: Settings) -> bool:
    """Make the attempt that has been due for longest; returns whether there was one."""
    due = _take(database)
    if due is None:
        return False
    with structlog.contextvars.bound_contextvars(job=due.job_id, attempt=due.attempt):
        error = asyncio.run(_attempt(due, settings))
        with database.write() as session:
            job = session.get(JobRow, due.job_id, with_for_update=True)
            if job is None:  # deleted meanwhile
                return True
            now, job.webhook_error = database_now(session), error
            if error is None:
                job.webhook_delivered_at, job.webhook_next_at = now, None
                log.info("webhook delivered")
            elif due.attempt <= len(RETRY_SECONDS):
                pause = RETRY_SECONDS[due.attempt - 1]
                job.webhook_next_at = now + timedelta(seconds=pause)
                log.warning("webhook not delivered", reason=error, next_seconds=pause)
            else:
                job.webhook_next_at = None
                log.warning("webhook given up", reason=error)
    return True


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet at large, whatever it is wrapped in."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (inner := _inner(ip)) is not None:
        return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


async def resolve(host: str, port: int) -> list[str]:
    """The IP addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _take(database: Database) -> _Due | None:
    with database.write() as session:
        now = database_now(session)
        job = session.scalar(
            select(JobRow)
            .where(JobRow.webhook_next_at <= now, JobRow.deleted_at.is_(None))
            .order_by(JobRow.webhook_next_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if job is None:
            return None
        webhook = request_of(job).webhook
        assert webhook is not None
        assert job.webhook_secret is not None
        shown = job_as_contract(session, job).model_copy(update={"delivery": None})
        notification = Notification(
            job=shown, result=Result.model_validate(job.result) if job.result else None
        )
        job.webhook_next_at = now + timedelta(seconds=SENDING_SECONDS)
        job.webhook_attempts += 1
        return _Due(
            job_id=job.id,
            url=webhook.url,
            secret=job.webhook_secret,
            body=notification.model_dump_json().encode(),
            attempt=job.webhook_attempts,
        )


async def _attempt(due: _Due, settings: Settings) -> str | None:
    """What went wrong, if anything did."""
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            return await _send(due, settings)
    except TimeoutError:
        return f"there was no answer within {ATTEMPT_SECONDS:g} s"
    except Exception as error:  # a user's address must not hold up the others'
        return f"{type(error).__name__}: {error}"[:500]


async def _send(due: _Due, settings: Settings) -> str | None:
    url = httpx.URL(due.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = await resolve(url.host, port)
    if not settings.webhook_private_addresses:
        hidden = [address for address in addresses if not is_public(address)]
        if hidden:
            return f"{url.host} is {hidden[0]}, which is no public address"
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": "lrsearch",
        DELIVERY_HEADER: due.job_id,
        SIGNATURE_HEADER: signature_of(due.secret, int(time.time()), due.body),
    }
    async with (
        httpx.AsyncClient(
            trust_env=False, follow_redirects=False, timeout=ATTEMPT_SECONDS
        ) as client,
        client.stream(
            "POST",
            url.copy_with(host=addresses[0]),
            content=due.body,
            headers=headers,
            extensions={"sni_hostname": url.host},
        ) as response,
    ):  # what it answers besides the status is not read
        return None if response.is_success else f"it answered {response.status_code}"


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for."""
    if ip in NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
