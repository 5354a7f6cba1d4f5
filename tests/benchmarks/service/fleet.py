"""Simulated workers: the real protocol, trials that take no time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
from pydantic import BaseModel

from lrsearch.contract.leases import LEASE_TOKEN_HEADER, ProbeReport, TrialReport
from lrsearch.contract.trials import EpochMetrics
from tests.api.fake_worker import final_report, learning_curve
from tests.api.samples import weights
from tests.benchmarks.service.latencies import Latencies
from tests.probes import a_probe

Lease = dict[str, Any]
"""As it came; checking it again would cost more than the request."""

BASELINE_TOP1 = 0.6
"""Higher than all finetunes', so that only a baseline's weights are kept, as of most trials."""

PROBE = ProbeReport(probe=a_probe())
FINAL = final_report(winner_correct=27, baseline_correct=27, images=36)


class Worker:
    """One worker, registered with one replica."""

    def __init__(self, http: httpx.AsyncClient, latencies: Latencies) -> None:
        self._http, self._latencies, self.id = http, latencies, ""

    async def register(self, name: str) -> None:
        device = {"kind": "cpu", "name": "simulated", "memory_bytes": 2**30}
        answer = await self._http.post("/v1/workers", json={"name": name, "device": device})
        self.id = answer.raise_for_status().json()["id"]

    async def claim(self) -> Lease | None:
        """A lease of one trial (a probe beside it counts as none), or None where there is none."""
        wanted = {"worker_id": self.id, "max_trials": 1, "wait_seconds": 0}
        with self._latencies.timed("claim"):
            answer = await self._http.post("/v1/leases", json=wanted)
        if answer.status_code == 204:
            return None
        lease: Lease = answer.raise_for_status().json()
        return lease

    async def finish(self, lease: Lease) -> None:
        """Report all the work of a lease as done."""
        for work in lease["work"]:
            match work["kind"]:
                case "trial":
                    await self._finish_trial(lease, work)
                case "probe":
                    await self._report(lease, work, PROBE)
                case "final":
                    await self._report(lease, work, FINAL)

    async def beat(self, lease: Lease, beat: int) -> None:
        """A heartbeat that brings the next epoch of the lease's trial."""
        [metrics] = learning_curve(0.5, 1)
        told = metrics.model_copy(update={"epoch": beat}).model_dump(mode="json")
        trial = lease["work"][-1]["id"]
        with self._latencies.timed("heartbeat"):
            answer = await self._http.post(
                f"/v1/leases/{lease['id']}/heartbeat",
                json={"epochs": [{"work_id": trial, "metrics": told}]},
                headers={LEASE_TOKEN_HEADER: lease["token"]},
            )
        answer.raise_for_status()

    async def _finish_trial(self, lease: Lease, work: dict[str, Any]) -> None:
        curve = curve_of(work["number"], lease["task"]["recipe"]["epochs"])
        report = TrialReport(outcome="complete", curve=curve, seconds=1.0)
        if not work["baseline"] and await self._report(lease, work, report, may_lack_weights=True):
            return
        content = weights(work["number"])  # a baseline's, or of a trial that is the best so far
        put = await self._http.put(
            f"/v1/leases/{lease['id']}/work/{work['id']}/weights",
            content=content,
            headers={LEASE_TOKEN_HEADER: lease["token"]},
        )
        put.raise_for_status()
        named = report.model_copy(update={"weights_sha256": sha256(content).hexdigest()})
        await self._report(lease, work, named)

    async def _report(
        self,
        lease: Lease,
        work: dict[str, Any],
        report: BaseModel,
        *,
        may_lack_weights: bool = False,
    ) -> bool:
        """Whether the report was taken; it can only be refused for its weights."""
        with self._latencies.timed("report"):
            answer = await self._http.post(
                f"/v1/leases/{lease['id']}/work/{work['id']}/report",
                content=report.model_dump_json(),
                headers={
                    LEASE_TOKEN_HEADER: lease["token"],
                    "Content-Type": "application/json",
                },
            )
        if may_lack_weights and answer.status_code == 422:
            return False
        answer.raise_for_status()
        return True


@asynccontextmanager
async def fleet(
    urls: Sequence[str], size: int, latencies: Latencies
) -> AsyncIterator[list[Worker]]:
    """So many registered workers, spread evenly over the replicas."""
    # The service closes what was idle for 5 seconds, maybe just when the next request is sent.
    limits = httpx.Limits(
        max_connections=None, max_keepalive_connections=size, keepalive_expiry=2.0
    )
    clients = [httpx.AsyncClient(base_url=url, timeout=120.0, limits=limits) for url in urls]
    try:
        workers = [Worker(clients[number % len(clients)], latencies) for number in range(size)]
        await asyncio.gather(
            *(worker.register(f"bench-{number}") for number, worker in enumerate(workers))
        )
        yield workers
    finally:
        for client in clients:
            await client.aclose()


def curve_of(number: int, epochs: int) -> list[EpochMetrics]:
    """A trial's learning curve: finetunes differ, and none reaches the baseline."""
    top1 = BASELINE_TOP1 if number == 0 else 0.3 + 0.2 * (number * 7 % 20) / 20
    return learning_curve(top1, epochs)
