"""Simulated workers: the real protocol, trials that take no time."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from hashlib import sha256
from typing import Any

import aiohttp

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

PROBE = ProbeReport(probe=a_probe()).model_dump_json()
FINAL = final_report(winner_correct=27, baseline_correct=27, images=36).model_dump_json()

_JSON = {"Content-Type": "application/json"}

_baselines: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
"""By job: set once its baseline is reported."""


class Worker:
    """One worker, registered with one replica."""

    def __init__(self, http: aiohttp.ClientSession, latencies: Latencies) -> None:
        self._http, self._latencies, self.id = http, latencies, ""

    async def register(self, name: str) -> None:
        device = {"kind": "cpu", "name": "simulated", "memory_bytes": 2**30}
        async with self._http.post("/v1/workers", json={"name": name, "device": device}) as answer:
            self.id = (await answer.json())["id"]

    async def claim(self) -> Lease | None:
        """A lease of one trial (a probe beside it counts as none), or None where there is none."""
        wanted = {"worker_id": self.id, "max_trials": 1, "wait_seconds": 0, "holds": []}
        with self._latencies.timed("claim"):
            async with self._http.post("/v1/leases", json=wanted) as answer:
                if answer.status == 204:
                    return None
                lease: Lease = await answer.json()
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
            async with self._http.post(
                f"/v1/leases/{lease['id']}/heartbeat",
                json={"epochs": [{"work_id": trial, "metrics": told}]},
                headers={LEASE_TOKEN_HEADER: lease["token"]},
            ):
                pass

    async def _finish_trial(self, lease: Lease, work: dict[str, Any]) -> None:
        """A trial ends after its job's baseline, which trains the last layer alone."""
        baseline = _baselines[lease["task"]["job_id"]]
        epochs = lease["task"]["recipe"]["epochs"]
        if not work["baseline"]:
            await baseline.wait()
            await self._report(lease, work, _trial_report(work["number"], epochs))
            return
        content = weights(work["number"])
        async with self._http.put(
            f"/v1/leases/{lease['id']}/work/{work['id']}/weights",
            data=content,
            headers={LEASE_TOKEN_HEADER: lease["token"]},
        ):
            pass
        digest = sha256(content).hexdigest()
        await self._report(lease, work, _trial_report(work["number"], epochs, digest))
        baseline.set()

    async def _report(self, lease: Lease, work: dict[str, Any], report: str) -> None:
        with self._latencies.timed("report"):
            async with self._http.post(
                f"/v1/leases/{lease['id']}/work/{work['id']}/report",
                data=report,
                headers={LEASE_TOKEN_HEADER: lease["token"], **_JSON},
            ):
                pass


@asynccontextmanager
async def fleet(
    urls: Sequence[str], size: int, latencies: Latencies
) -> AsyncIterator[list[Worker]]:
    """So many registered workers, spread evenly over the replicas."""
    async with AsyncExitStack() as at_end:
        clients = [await at_end.enter_async_context(_client(url)) for url in urls]
        workers = [Worker(clients[number % len(clients)], latencies) for number in range(size)]
        await asyncio.gather(
            *(worker.register(f"bench-{number}") for number, worker in enumerate(workers))
        )
        yield workers


def _client(url: str) -> aiohttp.ClientSession:
    """One that costs little: what is measured is the service, on the same machine."""
    return aiohttp.ClientSession(
        url,
        # The service closes what was idle for 5 seconds, maybe just when the next request is sent.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2.0),
        timeout=aiohttp.ClientTimeout(total=120.0),
        raise_for_status=True,
    )


@cache
def _trial_report(number: int, epochs: int, weights_sha256: str | None = None) -> str:
    return TrialReport(
        outcome="complete",
        curve=curve_of(number, epochs),
        seconds=1.0,
        weights_sha256=weights_sha256,
    ).model_dump_json()


def curve_of(number: int, epochs: int) -> list[EpochMetrics]:
    """A trial's learning curve: finetunes differ, and none reaches the baseline."""
    top1 = BASELINE_TOP1 if number == 0 else 0.3 + 0.2 * (number * 7 % 20) / 20
    return learning_curve(top1, epochs)
