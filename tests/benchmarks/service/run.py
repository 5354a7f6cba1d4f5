"""One run: so many workers and replicas, each thing that workers do measured by itself."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import delete, func, select

from lrsearch.db.tables import OutboxRow
from tests.benchmarks.service.fleet import Worker, fleet
from tests.benchmarks.service.installation import DATA_SET, Installation
from tests.benchmarks.service.latencies import Latencies

JOBS_PER_SECOND = 16
"""Submitted for each second of claiming: a queue that fast workers do not empty."""

SUGGESTIONS_PER_SECOND = 8.0
"""All workers together: how often a fleet asks whose trials take `workers / 8` seconds."""

STUDIES = 4
"""Of each strategy that models something."""

WARM_TRIALS = 8
"""Finished in a study, about, before its suggestions are timed."""

BEAT_SECONDS = 10.0
"""Between two heartbeats of a worker, as with leases of 30 seconds."""

DRAINING_SECONDS = 10.0
"""The drain of the outbox is watched so long at most."""

SUBMITTERS = 8


async def measured(installation: Installation, workers: int, seconds: float) -> dict[str, Any]:
    """The figures of a run.

    Args:
        installation: Its queue is empty.
        workers: How many there are.
        seconds: How long suggestions, heartbeats and claims are measured, each.
    """
    latencies = Latencies()
    async with fleet(installation.urls, workers, latencies) as them:
        await _suggestions(installation, them, latencies, seconds)
        await _heartbeats(installation, them, max(seconds, 2 * BEAT_SECONDS))
        with latencies.timed("all submissions"):
            jobs = await _submit(installation, latencies, round(JOBS_PER_SECOND * seconds), {})
        await _drain(installation, 6 * DRAINING_SECONDS)  # new studies, which cost most
        claims = await _claims(installation, them, latencies, seconds)
    drain = await _drain(installation, DRAINING_SECONDS)
    await _cancel_all(installation)
    submitting_seconds = latencies.seconds["all submissions"][0]
    return {
        "submissions_per_s": round(len(jobs) / submitting_seconds, 1),
        **claims,
        **{
            f"{name}_{key}": value
            for name in ("submit", "claim", "report", "suggest", "heartbeat")
            for key, value in latencies.told(name).items()
        },
        "outbox": drain,
    }


async def _suggestions(
    installation: Installation, workers: Sequence[Worker], latencies: Latencies, seconds: float
) -> None:
    """Time claims that must ask a model with a history, at a rate that a fleet has."""
    wanted = 2 * WARM_TRIALS + round(SUGGESTIONS_PER_SECOND * seconds / STUDIES)
    for strategy, budget in (("tpe", {"trials": wanted}), ("recommend", {"finetunes": wanted})):
        asked = {"protocol": {"name": "staged"}, "strategy": strategy, "budget": budget}
        await _submit(installation, latencies, STUDIES, asked, name="study")
    quiet = Latencies()
    async with fleet(installation.urls, min(len(workers), 8), quiet) as few:
        warmed = iter(range(2 * STUDIES * (WARM_TRIALS + 1)))

        async def warm(worker: Worker) -> None:
            while next(warmed, None) is not None and (lease := await worker.claim()):
                await worker.finish(lease)

        await asyncio.gather(*map(warm, few))
    clear_outbox(installation)
    interval = len(workers) / SUGGESTIONS_PER_SECOND
    deadline = time.monotonic() + max(seconds, interval)

    async def ask(worker: Worker, after: float) -> None:
        await asyncio.sleep(after)
        while time.monotonic() < deadline:
            began = time.monotonic()
            lease = await worker.claim()
            if lease is None:
                return
            if lease["work"][0]["kind"] == "trial":
                latencies.seconds["suggest"].append(latencies.seconds["claim"][-1])
            await worker.finish(lease)
            await asyncio.sleep(began + interval - time.monotonic())

    await asyncio.gather(
        *(ask(worker, interval * i / len(workers)) for i, worker in enumerate(workers))
    )
    await _cancel_all(installation)
    for name in ("claim", "report", "submit"):  # those that count come in a storm
        latencies.seconds[name].clear()


async def _heartbeats(
    installation: Installation, workers: Sequence[Worker], seconds: float
) -> None:
    """Every worker holds a trial and sends a heartbeat with an epoch every ten seconds."""
    quiet = Latencies()
    recipe = {"recipe": {"epochs": 1000}}
    await _submit(installation, quiet, 1 + len(workers) // 8, recipe)
    leases = await asyncio.gather(*(worker.claim() for worker in workers))
    clear_outbox(installation)
    deadline = time.monotonic() + seconds

    async def beat(number: int) -> None:
        lease = leases[number]
        assert lease is not None, "each worker has a trial"
        await asyncio.sleep(BEAT_SECONDS * number / len(workers))
        epoch = 1
        while time.monotonic() < deadline:
            began = time.monotonic()
            await workers[number].beat(lease, epoch)
            epoch += 1
            await asyncio.sleep(began + BEAT_SECONDS - time.monotonic())

    await asyncio.gather(*map(beat, range(len(workers))))
    await _cancel_all(installation)


async def _claims(
    installation: Installation, workers: Sequence[Worker], latencies: Latencies, seconds: float
) -> dict[str, Any]:
    """As many pairs of claim and report as go, from a filled queue."""
    first = iter(range(len(workers)))  # which are baselines with probes; later they are one in 14

    async def warm(worker: Worker) -> None:
        while next(first, None) is not None and (lease := await worker.claim()):
            await worker.finish(lease)

    await asyncio.gather(*map(warm, workers))
    for name in ("claim", "report"):
        latencies.seconds[name].clear()
    before, started = installation.cpu_seconds(), time.monotonic()
    pairs = 0

    async def work(worker: Worker) -> None:
        nonlocal pairs
        while time.monotonic() < started + seconds and (lease := await worker.claim()):
            await worker.finish(lease)
            pairs += 1

    await asyncio.gather(*map(work, workers))
    took = time.monotonic() - started
    after = installation.cpu_seconds()
    cpu = {
        f"{name}_cpu_ms": round(1000 * (after[name] - before[name]) / pairs, 2) for name in after
    }
    return {"claims_per_s": round(pairs / took, 1), "pairs": pairs, "per_pair": cpu}


async def _submit(
    installation: Installation,
    latencies: Latencies,
    count: int,
    asked: dict[str, Any],
    name: str = "storm",
) -> list[str]:
    """Ids of new jobs; without another wish exhaustive ones, of eleven scales."""
    plain = {"strategy": "exhaustive", "confirm": False, "recipe": {"epochs": 3}}
    body = {"data_set": DATA_SET, "source_model": "general", "name": name, **plain, **asked}
    left, ids = iter(range(count)), []

    async def submit(http: httpx.AsyncClient) -> None:
        for _ in left:
            with latencies.timed("submit"):
                answer = await http.post("/v1/jobs", json=body)
            ids.append(answer.raise_for_status().json()["id"])

    async with httpx.AsyncClient(base_url=installation.urls[0], timeout=120.0) as http:
        await asyncio.gather(*(submit(http) for _ in range(SUBMITTERS)))
    return ids


async def _drain(installation: Installation, seconds: float) -> dict[str, Any]:
    """Watch the outbox until it is empty, or for so many seconds."""
    first, started = waiting_entries(installation), time.monotonic()
    left = first
    while left and time.monotonic() < started + seconds:
        await asyncio.sleep(0.2)
        left = waiting_entries(installation)
    took = time.monotonic() - started
    rate = round((first - left) / took, 1) if first else None
    return {"entries": first, "left": left, "drained_per_s": rate}


async def _cancel_all(installation: Installation) -> None:
    """Nothing of what was submitted may run in what is measured next."""
    async with httpx.AsyncClient(base_url=installation.urls[0], timeout=120.0) as http:
        for state in ("waiting", "running", "finalising"):
            while (
                page := (await http.get("/v1/jobs", params={"state": state, "limit": 50}))
                .raise_for_status()
                .json()["items"]
            ):
                for job in page:
                    await http.post(f"/v1/jobs/{job['id']}/cancel")
    clear_outbox(installation)


def clear_outbox(installation: Installation) -> None:
    """Its drain is measured by itself, and shall not run into anything else that is."""
    with installation.database.write() as session:
        session.execute(delete(OutboxRow))


def waiting_entries(installation: Installation) -> int:
    """What Optuna has still to be told."""
    with installation.database.read() as session:
        return session.scalar(select(func.count()).select_from(OutboxRow)) or 0
