"""`python -m tests.benchmarks.service`: what the service bears; one JSON object at the end."""

import asyncio
import json
import os
import sys
from typing import Annotated, Any

import typer

from tests.benchmarks.service.full import full_figures
from tests.benchmarks.service.installation import installed
from tests.benchmarks.service.run import measured
from tests.postgres import start_server

TOP = (32, 1)
"""Workers and replicas of the figures at the top level."""

SHOWN = ("submissions_per_s", "claims_per_s", "claim_p99_ms", "suggest_p99_ms", "heartbeat_p99_ms")


def main(
    workers: Annotated[list[int] | None, typer.Option(help="How many; may be repeated.")] = None,
    replicas: Annotated[list[int] | None, typer.Option(help="Likewise, of the service.")] = None,
    seconds: Annotated[float, typer.Option(help="Each thing is measured so long.")] = 15.0,
    jobs: Annotated[
        int, typer.Option(help="Finished jobs of 20 trials in the full database; 0: leave it out.")
    ] = 10_000,
    quick: Annotated[
        bool, typer.Option(help="32 workers, 1 replica, 5 seconds, 500 finished jobs.")
    ] = False,
) -> None:
    """Measure runs of all numbers of workers and replicas, and then with a full database."""
    if quick:
        workers, replicas, seconds, jobs = [TOP[0]], [TOP[1]], 5.0, min(jobs, 500)
    server = os.environ.get("LRSEARCH_TEST_POSTGRES_URL") or start_server()
    runs: dict[str, Any] = {}
    for replica_count in replicas or (1, 2):
        for worker_count in workers or (1, 32, 256):
            with installed(server, replica_count) as installation:
                figures = asyncio.run(measured(installation, worker_count, seconds))
            name = f"{worker_count} workers, {replica_count} replicas"
            runs[name] = {
                "workers": worker_count,
                "replicas": replica_count,
                **figures,
                "load_average": round(os.getloadavg()[0], 1),
            }
            _show(name, runs[name])
    if jobs:
        with installed(server, TOP[1]) as installation:
            runs["full"] = asyncio.run(full_figures(installation, TOP[0], seconds, jobs))
            _show("full", runs["full"])
    top = runs.get("{} workers, {} replicas".format(*TOP), {})
    print(json.dumps({**{key: top.get(key) for key in SHOWN}, "runs": runs}))


def _show(name: str, figures: dict[str, Any]) -> None:
    print(f"{name}: {json.dumps(figures)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
