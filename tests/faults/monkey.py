"""The monkey: breaks one thing after another, by a seed."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from time import monotonic
from typing import Final, Literal

from tests.faults.fleet import Fleet
from tests.faults.plan import Plan
from tests.faults.postgres import Postgres
from tests.faults.replicas import Replicas

Deed = Literal["kill", "freeze", "restart", "replica", "disk"]

WEIGHTS: Final[dict[Deed, int]] = {"kill": 12, "freeze": 6, "restart": 1, "replica": 1, "disk": 1}
"""How often each deed is done."""

RESTART_SECONDS: Final = 15.0
"""From one restart of the database to the next at least: leases expire only when it is there."""


@dataclass
class Done:
    """What the monkey has done so far."""

    kills: int = 0
    zombies: int = 0
    """Workers that went on after they had been frozen for longer than a lease lasts."""
    database_restarts: int = 0
    replica_kills: int = 0
    disk_full_seconds: float = 0.0


@dataclass(order=True)
class _Later:
    at: float
    number: int
    act: Callable[[], None] = field(compare=False)


class Monkey:
    """Does what is due whenever it is asked; every deed is among its first, in a drawn order.

    Args:
        plan: Says how often, and with what seed.
        fleet: Of workers.
        replicas: Of the service.
        database: That they share.
    """

    def __init__(self, plan: Plan, fleet: Fleet, replicas: Replicas, database: Postgres) -> None:
        self.done = Done()
        self._random = random = Random(plan.seed)  # noqa: S311 - no secret
        self._fleet, self._replicas, self._database = fleet, replicas, database
        self._lease_seconds, self._pause_seconds = plan.lease_seconds, plan.pause_seconds
        self._deeds: dict[Deed, Callable[[], None]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "restart": self._restart,
            "replica": self._kill_replica,
            "disk": self._fill_disk,
        }
        first = list(WEIGHTS)
        random.shuffle(first)
        self._first = deque(first)
        self._later: list[_Later] = []
        self._numbers = 0
        self._deeds_left = plan.deeds
        self._next_at = monotonic() + random.expovariate(1.0 / plan.pause_seconds)
        self._restart_again_at = 0.0
        self._disk_full_since: float | None = None

    @property
    def has_done_all(self) -> bool:
        """Whether each deed has been done at least once."""
        return not self._first

    @property
    def is_idle(self) -> bool:
        """Whether nothing that it has broken is still broken."""
        return not self._later

    def act(self, *, more: bool = True) -> None:
        """Do what is due; without `more`, only end what has been begun."""
        now = monotonic()
        while self._later and self._later[0].at <= now:
            heappop(self._later).act()
        self._replicas.supervise()
        self._fleet.supervise()
        if not more or now < self._next_at or self._deeds_left == 0:
            return
        self._deeds_left -= 1
        self._next_at = now + self._random.expovariate(1.0 / self._pause_seconds)
        if self._first:
            deed = self._first.popleft()
        else:
            [deed] = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        self._deeds[deed]()

    def _kill(self) -> None:
        self._fleet.kill(self._random)
        self.done.kills += 1

    def _freeze(self) -> None:
        self._fleet.freeze(self._random)
        self._after(self._lease_seconds * self._random.uniform(1.5, 2.5), self._thaw)

    def _thaw(self) -> None:
        self._fleet.thaw()
        self.done.zombies += 1

    def _restart(self) -> None:
        if monotonic() < self._restart_again_at:
            return
        self._restart_again_at = monotonic() + RESTART_SECONDS
        self._database.restart(self._random.choice(["fast", "immediate"]))
        self.done.database_restarts += 1

    def _kill_replica(self) -> None:
        index = self._random.randrange(len(self._replicas.ports))
        if not self._replicas.all_ready():  # else there is no service, and nothing goes on
            if not self.done.replica_kills:
                self._first.append("replica")
            return
        self._replicas.kill(index)
        self.done.replica_kills += 1
        self._after(self._random.uniform(0.0, 3.0), lambda: self._replicas.start(index))

    def _fill_disk(self) -> None:
        if self._disk_full_since is None:
            self._replicas.fill_disk()
            self._disk_full_since = monotonic()
            self._after(self._random.uniform(2.0, 6.0), self._free_disk)

    def _free_disk(self) -> None:
        assert self._disk_full_since is not None
        self._replicas.free_disk()
        self.done.disk_full_seconds += monotonic() - self._disk_full_since
        self._disk_full_since = None

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        self._numbers += 1
        heappush(self._later, _Later(monotonic() + seconds, self._numbers, act))
