"""The tables. Each state and each column whose name does not say it all is explained here.

A job's row is the lock for everything that belongs to the job: its trials, its work, its leases and
its events change only in a transaction that has locked that row (PostgreSQL: FOR UPDATE; SQLite:
BEGIN IMMEDIATE).
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Instant(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which knows no time zones, stores it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = JSON().with_variant(JSONB(), "postgresql")
Serial = BigInteger().with_variant(Integer(), "sqlite")


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class variable
        datetime: Instant(),
        dict[str, Any]: Json,
        list[dict[str, Any]]: Json,
        list[str]: Json,
        str: Text(),
    }


Id = String(36)
Sha = String(64)


class ApiKeyRow(Table):
    """A key that gives access; of its secret only the hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    owner: Mapped[str]  # a principal; all keys of an owner see the same
    prefix: Mapped[str | None]  # how the secret begins
    secret_sha256: Mapped[str] = mapped_column(Sha, unique=True)
    scopes: Mapped[list[str]]
    limits: Mapped[dict[str, Any]]  # Limits
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]  # to the minute


class DataSetRow(Table):
    """A target data set. States: validating, ready, rejected."""

    __tablename__ = "data_sets"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    owner: Mapped[str]  # of an API key, or "": everybody's
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None]
    problems: Mapped[list[dict[str, Any]]]
    upload_sha256: Mapped[str | None] = mapped_column(Sha)  # the archive as sent, until validated
    upload_bytes: Mapped[int | None] = mapped_column(BigInteger)  # its size
    folder: Mapped[str | None]  # instead of an upload: a path below one of the image roots
    validator_until: Mapped[datetime | None]  # a replica validates it, and has shown so until then
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int | None]
    fingerprint: Mapped[str | None] = mapped_column(Sha, index=True)
    statistics: Mapped[dict[str, Any] | None]
    content_sha256: Mapped[str | None] = mapped_column(Sha)  # the canonical archive
    content_bytes: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class SourceModelRow(Table):
    """A source model. States: checking, ready, rejected."""

    __tablename__ = "source_models"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    owner: Mapped[str]  # of an API key, or "": everybody's
    state: Mapped[str]
    reason: Mapped[str | None]
    spec: Mapped[dict[str, Any]]
    weights_sha256: Mapped[str | None] = mapped_column(Sha)  # null: random initialisation
    weights_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]


class JobRow(Table):
    """A job, and the lock of all that belongs to it. States: see `contract.jobs.JobState`."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("ix_jobs_owner", "owner", "id"),
        Index(
            "ix_jobs_deleted",
            "id",
            postgresql_where=text("deleted_at IS NOT NULL"),
            sqlite_where=text("deleted_at IS NOT NULL"),
        ),
        Index(
            "ix_jobs_webhook",
            "webhook_next_at",
            postgresql_where=text("webhook_next_at IS NOT NULL"),
            sqlite_where=text("webhook_next_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str | None] = mapped_column(index=True)
    owner: Mapped[str]  # of an API key, or "" where none was demanded
    idempotency_key: Mapped[str | None]
    request_sha256: Mapped[str] = mapped_column(Sha)  # of the request as sent
    state: Mapped[str] = mapped_column(index=True)
    reason: Mapped[str | None]
    request: Mapped[dict[str, Any]]  # JobRequest with every default filled in
    priority: Mapped[int]
    paused: Mapped[bool] = mapped_column(default=False)  # nothing of it is given out
    device: Mapped[str | None]  # kind of device of all trials; set by the first claim at the latest
    data_set_id: Mapped[str] = mapped_column(ForeignKey("data_sets.id"), index=True)
    source_model_id: Mapped[str] = mapped_column(ForeignKey("source_models.id"))
    test_images: Mapped[int]
    validation_images: Mapped[int] = mapped_column(default=0)
    trials_planned: Mapped[int | None]
    exhausted: Mapped[bool] = mapped_column(default=False)  # no further trial will be proposed
    dormant: Mapped[bool] = mapped_column(default=False)  # no claim gets anything until it changes
    trials_begun: Mapped[int] = mapped_column(default=0)  # besides the baseline
    trials_finished: Mapped[int] = mapped_column(default=0)  # the baseline included
    epochs_spent: Mapped[int] = mapped_column(default=0)  # run, or reserved by running trials
    seconds_spent: Mapped[float] = mapped_column(default=0.0)  # of finished trials
    seconds_reserved: Mapped[float] = mapped_column(default=0.0)  # by running trials
    best_trial: Mapped[int | None]  # number of the best complete trial
    best_val_top1: Mapped[float | None]
    best_expected_top1: Mapped[float | None]  # after all trials so far, under `recommend`
    last_event: Mapped[int] = mapped_column(default=0)
    probe: Mapped[dict[str, Any] | None]  # Probe
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    webhook_secret: Mapped[str | None]  # null: nobody is to be told
    webhook_attempts: Mapped[int] = mapped_column(default=0)
    webhook_error: Mapped[str | None]  # of the last attempt
    webhook_next_at: Mapped[datetime | None]  # null: not yet, or never again
    webhook_delivered_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  # unknown to users since; soon the row goes too


_OPEN_JOBS = text("state IN ('waiting', 'running', 'finalising')")
Index(  # in the order of their turn
    "ix_jobs_open",
    JobRow.priority.desc(),
    JobRow.id,
    postgresql_where=_OPEN_JOBS,
    sqlite_where=_OPEN_JOBS,
)
Index("ix_jobs_open_owner", JobRow.owner, postgresql_where=_OPEN_JOBS, sqlite_where=_OPEN_JOBS)


class TrialRow(Table):
    """A trial. States: see `contract.trials.TrialState`."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        Index(
            "ix_trials_weights",
            "job_id",
            postgresql_where=text("weights_sha256 IS NOT NULL"),
            sqlite_where=text("weights_sha256 IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    number: Mapped[int]
    baseline: Mapped[bool]
    replicate: Mapped[int] = mapped_column(default=0)  # 1: the confirmation of the winner
    point: Mapped[dict[str, Any]]
    rates: Mapped[dict[str, Any]]
    state: Mapped[str]
    reason: Mapped[str | None]
    worker: Mapped[str | None]  # name of the worker that has or had it last
    expected: Mapped[dict[str, Any] | None]  # Trial's fields `expected_…`, under `recommend`
    val_top1: Mapped[float | None]
    val_loss: Mapped[float | None]
    seconds: Mapped[float] = mapped_column(default=0.0)
    seconds_reserved: Mapped[float | None]
    weights_sha256: Mapped[str | None] = mapped_column(Sha)  # kept of the best and of the baseline
    weights_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of those uploaded last
    checkpoint_sha256: Mapped[str | None] = mapped_column(Sha)  # where the next attempt goes on
    checkpoint_epochs: Mapped[int | None]  # that it holds
    ledger_id: Mapped[int | None]  # Optuna's id of the same trial
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class EpochRow(Table):
    """One epoch of a trial: of its present attempt, or of earlier ones up to its checkpoint."""

    __tablename__ = "epochs"

    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    train_loss: Mapped[float]
    val_loss: Mapped[float]
    val_top1: Mapped[float]
    seconds: Mapped[float]


class TrialLogRow(Table):
    """The latest of what a worker logged of a trial under one lease."""

    __tablename__ = "trial_logs"

    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id"), primary_key=True)
    lease_id: Mapped[str] = mapped_column(Id, primary_key=True)  # which may be gone by now
    worker: Mapped[str]
    began_at: Mapped[datetime]
    last_line: Mapped[int]  # number of the last line taken
    text: Mapped[str]


class WorkerRow(Table):
    """A worker process that has registered."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    device: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]
    registered_at: Mapped[datetime]
    seen_at: Mapped[datetime] = mapped_column(index=True)


class LeaseRow(Table):
    """A worker's right to run some work. States: active, done, expired, released, cancelled."""

    __tablename__ = "leases"
    __table_args__ = (
        Index(
            "ix_leases_active",
            "expires_at",
            postgresql_where=text("state = 'active'"),
            sqlite_where=text("state = 'active'"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    token_sha256: Mapped[str] = mapped_column(Sha)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), index=True)
    state: Mapped[str]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime]


class WorkRow(Table):
    """A piece of work in the queue. States: waiting, leased, done.

    Kinds: trial (its id is the trial's), probe, final (its id is the job's), check_model (its id is
    the source model's).
    """

    __tablename__ = "work"
    __table_args__ = (
        Index(
            "ix_work_waiting",
            "job_id",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    state: Mapped[str]
    reason: Mapped[str | None]  # why it waits again
    waits_since: Mapped[datetime | None] = mapped_column(default=func.now())  # its last time
    attempts: Mapped[int] = mapped_column(default=0)
    lease_id: Mapped[str | None] = mapped_column(ForeignKey("leases.id"), index=True)
    lease: Mapped[LeaseRow | None] = relationship(lazy="raise")  # to be set, not read
    upload_sha256: Mapped[str | None] = mapped_column(Sha)  # weights uploaded under the lease
    report_sha256: Mapped[str | None] = mapped_column(Sha)  # of the report that was accepted


class EventRow(Table):
    """An event of a job; numbered within the job, in the order of commit."""

    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    body: Mapped[dict[str, Any]]


class OutboxRow(Table):
    """Something of a job that Optuna's ledger must be told: a trial, or (null) the study's note."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    trial_id: Mapped[str | None] = mapped_column(ForeignKey("trials.id"))
    created_at: Mapped[datetime | None] = mapped_column(default=func.now())
    attempts: Mapped[int] = mapped_column(default=0)


class PriorRow(Table):
    """The prior that was fitted to the installation's own jobs, if one was.

    The newest is in force; keeping one removes those before it.
    """

    __tablename__ = "priors"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[str]
    fitted_at: Mapped[datetime]
    content: Mapped[bytes]  # see `Prior.to_bytes`
