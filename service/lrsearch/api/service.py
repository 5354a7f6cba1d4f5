"""What the routes work with: the parts of one running replica."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ParamSpec, TypeVar, cast

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from lrsearch.api.batches import Batches
from lrsearch.api.gate import Gate
from lrsearch.contract.leases import Lease, ReportReply
from lrsearch.db.engine import Database
from lrsearch.leasing.claims import Asked, claim_leases
from lrsearch.leasing.reports import Sent, take_reports
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep.housekeeping import Housekeeping


@dataclass
class Bell:
    """Rung when something has changed: those who wait look again at once.

    Take the ring that comes next before looking, then wait for it: none is missed in between.
    """

    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """Wake everybody; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._ring)

    def next_ring(self) -> asyncio.Event:
        """Set when the bell rings the next time."""
        return self._rung

    async def wait(self, ring: asyncio.Event, seconds: float) -> None:
        """Return with the ring, at the latest after so many seconds."""
        try:
            await asyncio.wait_for(ring.wait(), seconds)
        except TimeoutError:
            return

    def _ring(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()


P = ParamSpec("P")
T = TypeVar("T")

LANE_THREADS = 4
"""That serve the workers' messages. They mostly compute: more would only wait for each other, and
each that is in a transaction keeps a job locked meanwhile."""


@dataclass
class Service:
    """One replica."""

    settings: Settings
    database: Database
    store: BlobStore
    checkpoints: BlobStore
    ledger: Ledger
    housekeeping: Housekeeping
    gate: Gate
    bell: Bell
    lane: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LANE_THREADS))
    claims: Batches[Asked, Lease | None] = field(init=False)
    reports: Batches[Sent, ReportReply] = field(init=False)

    def __post_init__(self) -> None:
        self.claims = Batches(partial(claim_leases, self.database, settings=self.settings))
        self.reports = Batches(partial(take_reports, self.database))

    async def in_lane(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have a thread do something for a worker."""
        return await run_sync(partial(act, *args, **kwargs), limiter=self.lane)

    def changed(self) -> None:
        """Something was submitted, reported or put back."""
        self.housekeeping.wake()
        self.bell.ring()


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


Running = Annotated[Service, Depends(_service)]
"""The replica that answers, as a route's parameter."""
