"""Metrics for Prometheus: what this replica has seen, and what the database says when it is asked.

What is counted in a transaction is counted once that has been committed. Counters and histograms
are this replica's, to be summed over all; gauges from the database are the same on every replica.
"""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from lrsearch.db.engine import Database, after_commit, database_now
from lrsearch.db.tables import JobRow, LeaseRow, OutboxRow, WorkerRow, WorkRow
from lrsearch.jobs.waiting import fleet_of

REGISTRY = CollectorRegistry()
"""Of this process."""

ProcessCollector(registry=REGISTRY)

TRIALS = Counter(
    "lrsearch_trials", "Trials that have ended, by outcome.", ["outcome"], registry=REGISTRY
)
FINETUNE_SECONDS = Histogram(
    "lrsearch_finetune_seconds",
    "Worker seconds of complete finetunes, the baselines left out.",
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000),
    registry=REGISTRY,
)
LEASES = Counter("lrsearch_leases_granted", "Leases that were given out.", registry=REGISTRY)
EXPIRIES = Counter("lrsearch_leases_expired", "Leases that were not kept alive.", registry=REGISTRY)
SUGGESTION_SECONDS = Histogram(
    "lrsearch_suggestion_seconds",
    "How long it took to find the next point of a search.",
    ["strategy"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "lrsearch_http_request_seconds",
    "From a request's arrival to the beginning of its answer; claims wait for work meanwhile.",
    ["method", "route", "status"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
STORE_BYTES = Gauge(
    "lrsearch_store_bytes",
    "Bytes in the data folder's stores when this replica last looked for garbage.",
    ["store"],
    registry=REGISTRY,
)


def once_committed(session: Session, counter: Counter, amount: float = 1.0) -> None:
    """Count what a transaction does, if it is committed."""
    after_commit(session, lambda: counter.inc(amount))


def count_trial(session: Session, outcome: str, seconds: float, *, baseline: bool) -> None:
    """Count a trial that has ended."""
    once_committed(session, TRIALS.labels(outcome))
    if outcome == "complete" and not baseline:
        after_commit(session, lambda: FINETUNE_SECONDS.observe(seconds))


def exposition(database: Database) -> bytes:
    """All metrics in Prometheus' text format."""
    now = CollectorRegistry()
    now.register(_FromDatabase(database))
    return generate_latest(REGISTRY) + generate_latest(now)


class _FromDatabase(Collector):
    """How things stand: a few queries by index, whatever the size of the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges."""
        with self._database.read() as session:
            yield from _waiting(session)
            yield _jobs(session)
            yield _leases(session)
            yield from _workers(session)
            yield from _outbox(session)


def _waiting(session: Session) -> Iterator[GaugeMetricFamily]:
    depth = GaugeMetricFamily(
        "lrsearch_work_waiting",
        "Work in the queue, by kind and wanted device; that of paused jobs is left out.",
        labels=["kind", "device"],
    )
    oldest = GaugeMetricFamily(
        "lrsearch_work_oldest_seconds",
        "How long the oldest work of a kind has been waiting; 0 where none waits.",
        labels=["kind"],
    )
    since: dict[str, datetime] = {}
    for kind, device, count, first in session.execute(
        select(WorkRow.kind, JobRow.device, func.count(), func.min(WorkRow.waits_since))
        .outerjoin(JobRow, JobRow.id == WorkRow.job_id)
        .where(WorkRow.state == "waiting", JobRow.paused.is_not(True))
        .group_by(WorkRow.kind, JobRow.device)
    ):
        depth.add_metric([kind, device or "any"], count)
        if first is not None:
            since[kind] = min(first, since.get(kind, first))
    now = database_now(session)
    for kind in ("trial", "probe", "final", "check_model"):
        waited = (now - since[kind]).total_seconds() if kind in since else 0.0
        oldest.add_metric([kind], max(waited, 0.0))
    yield depth
    yield oldest


def _jobs(session: Session) -> GaugeMetricFamily:
    jobs = GaugeMetricFamily(
        "lrsearch_jobs_open", "Jobs that are not over, by state.", labels=["state"]
    )
    state = case((JobRow.paused, "paused"), else_=JobRow.state)
    for name, count in session.execute(
        select(state, func.count())
        .where(JobRow.state.in_(("waiting", "running", "finalising")))
        .group_by(state)
    ):
        jobs.add_metric([name], count)
    return jobs


def _leases(session: Session) -> GaugeMetricFamily:
    leases = GaugeMetricFamily(
        "lrsearch_leases_active", "Leases that workers hold, by device.", labels=["device"]
    )
    held: dict[str, int] = {}
    for device, count in session.execute(
        select(WorkerRow.device, func.count(LeaseRow.id))
        .join(LeaseRow, LeaseRow.worker_id == WorkerRow.id)
        .where(LeaseRow.state == "active")
        .group_by(WorkerRow.id, WorkerRow.device)
    ):
        held[device["kind"]] = held.get(device["kind"], 0) + count
    for kind, count in held.items():
        leases.add_metric([kind], count)
    return leases


def _workers(session: Session) -> Iterator[GaugeMetricFamily]:
    fleet = fleet_of(session)
    for name, text, found in (
        ("present", "Workers that were seen lately, by device.", fleet.present),
        ("free", "Those of them that hold no lease, by device.", fleet.free),
    ):
        workers = GaugeMetricFamily(f"lrsearch_workers_{name}", text, labels=["device"])
        for kind in fleet.present:
            workers.add_metric([kind], found[kind])
        yield workers


def _outbox(session: Session) -> Iterator[GaugeMetricFamily]:
    count, first = session.execute(
        select(func.count(), func.min(OutboxRow.created_at)).select_from(OutboxRow)
    ).one()
    waited = (database_now(session) - first).total_seconds() if first is not None else 0.0
    yield GaugeMetricFamily(
        "lrsearch_outbox_entries", "What Optuna's ledger has still to be told.", value=count
    )
    yield GaugeMetricFamily(
        "lrsearch_outbox_lag_seconds",
        "How long the oldest of it has been waiting.",
        value=max(waited, 0.0),
    )
