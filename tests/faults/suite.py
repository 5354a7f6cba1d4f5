"""One run: jobs on a fleet of workers, two replicas and PostgreSQL, while a monkey breaks things.

Everything is a real process: the service as it is installed, PostgreSQL, and workers that run the
real loop. Only what computes is replaced: by finetunes that were recorded before.
"""

import shutil
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from threading import Event
from time import monotonic
from typing import Any, Final

import psycopg

from lrsearch.client.client import Client
from lrsearch.db.migrate import upgrade
from lrsearch.settings import Settings
from tests.faults.checks import find_faults
from tests.faults.curves import Curves, write_curves
from tests.faults.fleet import Fleet
from tests.faults.jobs import requests, submit, upload_data_set
from tests.faults.journal import read_journal
from tests.faults.monkey import Monkey
from tests.faults.plan import Plan
from tests.faults.postgres import postgres
from tests.faults.proxy import CuttingProxy
from tests.faults.replicas import Replicas

LEFT: Final = """
SELECT (SELECT count(*) FROM jobs WHERE state NOT IN ('complete', 'failed', 'cancelled')) AS jobs,
       (SELECT count(*) FROM trials WHERE state NOT IN ('waiting', 'running')) AS trials,
       (SELECT count(*) FROM outbox)
       + (SELECT count(*) FROM work WHERE state <> 'done')
       + (SELECT count(*) FROM leases WHERE state = 'active') AS others
"""
"""Jobs that are not over, trials that are, and whatever else somebody has still to see to."""

SAY_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    figures: dict[str, Any]
    """One JSON object."""
    faults: list[str]
    """What does not hold, a sentence each."""


def run(plan: Plan, *, keep: bool = False) -> Outcome:
    """Carry out a plan; with `keep`, logs and data stay."""
    folder = Path(mkdtemp(prefix="lrsearch-faults-"))
    try:
        return _run(plan, folder)
    finally:
        if keep:
            _say(f"logs and data are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _run(plan: Plan, folder: Path) -> Outcome:
    started = monotonic()
    curves, journal = folder / "curves.json", folder / "journal.jsonl"
    write_curves(curves)
    journal.touch()
    with postgres(folder / "postgresql") as database:
        settings = Settings(data_dir=folder / "data", database_url=database.url)
        upgrade(settings)
        environment = {
            "LRSEARCH_DATA_DIR": str(settings.data_dir),
            "LRSEARCH_DATABASE_URL": database.url,
            "LRSEARCH_LEASE_SECONDS": str(plan.lease_seconds),
            "LRSEARCH_MAX_ATTEMPTS": "20",
            "LRSEARCH_MAX_REQUESTS_PER_SECOND": "0",
        }
        with Replicas(plan.replicas, folder, environment) as replicas:
            replicas.wait_until_ready()
            upload_data_set(f"http://127.0.0.1:{replicas.ports[0]}")
            cuts = Random(plan.seed)  # noqa: S311 - no secret
            with CuttingProxy(replicas.ports, cuts, plan.cut_share, plan.mean_bytes) as proxy:
                fleet = Fleet(plan.workers, proxy.url, folder, plan.epoch_seconds)
                try:
                    monkey = Monkey(plan, fleet, replicas, database)
                    _wait_out(plan, monkey, proxy.url, database.url)
                finally:
                    fleet.close()
        found = find_faults(settings, Curves(curves), journal, plan.jobs)
    lines = Counter(line["what"] for line in read_journal(journal))
    figures = {
        "trials": found.trials,
        "jobs": plan.jobs,
        "workers": plan.workers,
        "replicas": plan.replicas,
        **asdict(monkey.done),
        "disk_full_seconds": round(monkey.done.disk_full_seconds, 1),
        "cuts": proxy.cuts,
        "reports_accepted": lines["accepted"],
        "leases_lost": lines["lost"],
        "trials_resumed": lines["resumed"],
        "most_attempts": found.most_attempts,
        "workers_ended": len(fleet.ended),
        **{name: len(sentences) for name, sentences in found.sentences().items()},
        "seed": plan.seed,
        "seconds": round(monotonic() - started, 1),
    }
    faults = [f"{name}: {each}" for name, all_ in found.sentences().items() for each in all_]
    faults.extend(f"worker {name} ended: {_last_line(folder, name)}" for name in fleet.ended)
    return Outcome(figures, faults)


def _wait_out(plan: Plan, monkey: Monkey, url: str, database_url: str) -> None:
    """Submit all jobs and let the monkey break things, until nothing is left to do or to break."""
    waiting = requests(plan.jobs, plan.trials)
    deadline, say_at, tick = monotonic() + plan.limit_seconds, 0.0, Event()
    with Client(url, attempts=1, timeout_seconds=10.0) as client:
        calm = False
        while monotonic() < deadline or not monkey.is_idle:
            monkey.act(more=not calm and monotonic() < deadline)
            if waiting and submit(client, waiting[0]):
                waiting.pop(0)
            left = _left(database_url)
            if left is not None:
                jobs, trials, others = left
                calm = not waiting and jobs == 0 and monkey.has_done_all
                if calm and others == 0 and monkey.is_idle:
                    return
                if monotonic() >= say_at:
                    say_at = monotonic() + SAY_SECONDS
                    _say(f"{trials} trials are over, {jobs} jobs are not; {monkey.done}")
            tick.wait(0.1)


def _left(database_url: str) -> tuple[int, int, int] | None:
    """Jobs that are not over, trials that are, and what else is left; None while it is away."""
    try:
        with psycopg.connect(database_url) as connection:
            found: tuple[int, int, int] | None = connection.execute(LEFT).fetchone()
    except psycopg.OperationalError:
        return None
    return found


def _last_line(folder: Path, worker: str) -> str:
    """Of a worker's log, where it says why it ended."""
    log = folder / f"{worker}.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return lines[-1] if lines else "it has logged nothing"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - for whoever watches
