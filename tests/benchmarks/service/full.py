"""The full database: a finished job copied ten thousand times, and what that slows down."""

import asyncio
import statistics
import time
from typing import Any, Final

import httpx
from sqlalchemy import func, inspect, select, text

from lrsearch.access.principals import NOBODY
from lrsearch.contract.leases import Claim, Heartbeat, Lease, ReportReply, TrialReport
from lrsearch.db.engine import Database
from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.jobs import jobs, trials
from lrsearch.leasing import heartbeats
from lrsearch.leasing.claims import claim_lease
from lrsearch.leasing.reports import Sent, take_reports
from lrsearch.metrics import exposition
from tests.benchmarks.service.fleet import curve_of, fleet
from tests.benchmarks.service.installation import DATA_SET, Installation
from tests.benchmarks.service.latencies import Latencies, milliseconds
from tests.benchmarks.service.plans import figures_of
from tests.benchmarks.service.run import clear_outbox, measured

SCALES: Final = tuple(round(0.25 * step, 2) for step in range(1, 20))
"""With the baseline 20 trials a job."""

LOOKS: Final = 40
"""Requests of each kind."""

COPIED: Final = {
    "jobs": ("id",),
    "leases": ("id", "job_id"),
    "trials": ("id", "job_id"),
    "work": ("id", "job_id", "lease_id"),
    "epochs": ("trial_id",),
    "events": ("job_id",),
}
"""Tables that hold a job, in the order of their references, and their columns with its ids."""


async def full_figures(
    installation: Installation, workers: int, seconds: float, copies: int
) -> dict[str, Any]:
    """Everything before and after the database is filled; slowdowns are the later by the former."""
    await _finish_a_job(installation)
    _copy(installation.database, 60)  # a page of the list is full in both
    empty = await measured(installation, workers, seconds)
    looks = await _looks(installation)  # beside the same newer jobs as later
    started = time.monotonic()
    _copy(installation.database, copies, first=60)
    took = time.monotonic() - started
    clear_outbox(installation)  # its drain is no part of what a full database costs
    looks_full = await _looks(installation)
    full = await measured(installation, workers, seconds)
    with installation.database.read() as session:
        rows = {
            name: session.scalar(select(func.count()).select_from(row))
            for name, row in (("jobs", JobRow), ("trials", TrialRow))
        }
    return {
        "rows": rows,
        "filled_in_s": round(took, 1),
        "looks_empty_ms": looks,
        "looks_full_ms": looks_full,
        "slowdown": {
            **{name: round(looks_full[name] / looks[name], 2) for name in looks},
            "claims": round(empty["claims_per_s"] / full["claims_per_s"], 2),
            "claims_cpu": round(_cpu_ms(full) / _cpu_ms(empty), 2),
            "submissions": round(empty["submissions_per_s"] / full["submissions_per_s"], 2),
        },
        "empty": empty,
        "full": full,
        "plans": await _plans(installation),
    }


def _cpu_ms(figures: dict[str, Any]) -> float:
    """Of service and database for a pair: what a busy machine blurs least."""
    spent = figures["per_pair"]
    return float(spent["service_cpu_ms"] + spent["database_cpu_ms"])


async def _finish_a_job(installation: Installation) -> None:
    await _submit(installation)
    async with fleet(installation.urls, 1, Latencies()) as [worker]:
        while lease := await worker.claim():
            await worker.finish(lease)


async def _submit(installation: Installation) -> str:
    body = {
        "data_set": DATA_SET,
        "name": "copied",
        "strategy": "exhaustive",
        "protocol": {"name": "graduated", "scale": SCALES},
        "recipe": {"epochs": 5},
        "confirm": False,
    }
    async with httpx.AsyncClient(base_url=installation.urls[0], timeout=60.0) as http:
        answer = await http.post("/v1/jobs", json=body)
        job_id: str = answer.raise_for_status().json()["id"]
    return job_id


def _copy(database: Database, copies: int, first: int = 0) -> None:
    """Copy the oldest job that the service has finished itself, with all that belongs to it.

    Copies are older than all that is real: an id begins with the time, in whose place a copy has
    its number.
    """
    columns = {
        table: [column["name"] for column in inspect(database.engine).get_columns(table)]
        for table in COPIED
    }
    with database.write() as session:
        original = session.scalar(
            select(JobRow.id)
            .where(JobRow.name == "copied", JobRow.state == "complete", JobRow.id > "01")
            .order_by(JobRow.id)
        )
        assert original is not None, "there is a finished job to copy"
        for table, ids in COPIED.items():
            values = [_value(table, name, name in ids) for name in columns[table]]
            belongs = {
                "jobs": "t.id = :original",
                "epochs": "t.trial_id IN (SELECT id FROM trials WHERE job_id = :original)",
            }.get(table, "t.job_id = :original")
            session.execute(
                text(
                    f"INSERT INTO {table} ({', '.join(columns[table])}) "  # noqa: S608 - our names
                    f"SELECT {', '.join(values)} FROM {table} t, "
                    f"generate_series(CAST(:first AS integer), :last) n WHERE {belongs}"
                ),
                {"original": original, "first": first, "last": first + copies - 1},
            )
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))  # as autovacuum will have done


def _value(table: str, column: str, is_id: bool) -> str:
    if is_id:
        return f"lpad(to_hex(n), 8, '0') || substr(t.{column}, 9)"
    if (table, column) == ("jobs", "idempotency_key"):
        return "NULL"
    return f"t.{column}"


async def _looks(installation: Installation) -> dict[str, float]:
    """Median latencies of what users look at, in milliseconds."""
    with installation.database.read() as session:
        job_id = session.scalar(select(JobRow.id).order_by(JobRow.id).limit(1))
    paths = {
        "list": "/v1/jobs",
        "list_complete": "/v1/jobs?state=complete",
        "list_running": "/v1/jobs?state=running",
        "list_name": "/v1/jobs?name=copied",
        "list_data_set": f"/v1/jobs?data_set={DATA_SET}",
        "job": f"/v1/jobs/{job_id}",
        "trials": f"/v1/jobs/{job_id}/trials",
        "trial": f"/v1/jobs/{job_id}/trials/3",
        "result": f"/v1/jobs/{job_id}/result",
        "metrics": "/metrics",
    }
    latencies = Latencies()
    async with httpx.AsyncClient(base_url=installation.urls[0], timeout=60.0) as http:
        for _ in range(LOOKS):
            for name, path in paths.items():
                with latencies.timed(name):
                    (await http.get(path)).raise_for_status()
    return {name: milliseconds(statistics.median(latencies.seconds[name])) or 0.0 for name in paths}


async def _plans(installation: Installation) -> dict[str, Any]:
    """Of what the service asks of the full database for a worker and for a user."""
    job_id = await _submit(installation)
    async with fleet(installation.urls, 1, Latencies()) as [worker]:
        lease = await worker.claim()  # baseline and probe
        assert lease is not None
        await worker.finish(lease)
        claim = Claim(worker_id=worker.id)
    return await asyncio.to_thread(_explained, installation, job_id, claim)


def _explained(installation: Installation, job_id: str, claim: Claim) -> dict[str, Any]:
    database, settings = installation.database, installation.settings
    held: list[Lease] = []

    def claimed() -> None:
        lease = claim_lease(database, claim, settings)
        assert lease is not None
        held.append(lease)

    def beat() -> None:
        with database.write() as session:
            heartbeats.heartbeat(session, held[0].id, held[0].token, Heartbeat(), settings)

    def reported() -> None:
        [lease], [work] = held, held[0].work
        report = TrialReport(outcome="complete", curve=curve_of(1, 5), seconds=1.0)
        [answer] = take_reports(database, [Sent(lease.id, lease.token, work.id, report)])
        assert isinstance(answer, ReportReply)

    def listed(**wanted: Any) -> None:
        with database.read() as session:
            jobs.list_jobs(session, NOBODY, None, 50, **wanted)

    def shown() -> None:
        with database.read() as session:
            job = jobs.find_job(session, job_id, NOBODY)
            jobs.job_as_contract(session, job)
            trials.list_trials(session, job, None, 50)

    return figures_of(
        {
            "claim": claimed,
            "heartbeat": beat,
            "report_and_advance": reported,
            "list": listed,
            "list_complete": lambda: listed(state="complete"),
            "list_running": lambda: listed(state="running"),
            "list_name": lambda: listed(name="copied"),
            "list_data_set": lambda: listed(data_set=DATA_SET),
            "detail": shown,
            "metrics": lambda: exposition(database),
        },
        database,
    )
