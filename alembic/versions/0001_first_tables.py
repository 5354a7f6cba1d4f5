"""The first tables."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", tables.Json, nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("expires_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("revoked_at", tables.Instant(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_sha256"),
    )
    op.create_table(
        "data_sets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=36), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("problems", tables.Json, nullable=False),
        sa.Column("upload_sha256", sa.String(length=64), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("validator_until", tables.Instant(timezone=True), nullable=True),
        sa.Column("progress_done", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("statistics", tables.Json, nullable=True),
        sa.Column("content_sha256", sa.String(length=64), nullable=True),
        sa.Column("content_bytes", sa.BigInteger(), nullable=True),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_index("ix_data_sets_fingerprint", "data_sets", ["fingerprint"], unique=False)
    op.create_index("ix_data_sets_state", "data_sets", ["state"], unique=False)

    op.create_table(
        "source_models",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=36), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("spec", tables.Json, nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=True),
        sa.Column("weights_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("device", tables.Json, nullable=False),
        sa.Column("versions", tables.Json, nullable=False),
        sa.Column("registered_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("seen_at", tables.Instant(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_workers_seen_at", "workers", ["seen_at"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=36), nullable=True),
        sa.Column("owner_key", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("request", tables.Json, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("data_set_id", sa.String(length=36), nullable=False),
        sa.Column("source_model_id", sa.String(length=36), nullable=False),
        sa.Column("test_images", sa.Integer(), nullable=False),
        sa.Column("trials_planned", sa.Integer(), nullable=True),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.Column("trials_begun", sa.Integer(), nullable=False),
        sa.Column("trials_finished", sa.Integer(), nullable=False),
        sa.Column("epochs_spent", sa.Integer(), nullable=False),
        sa.Column("seconds_spent", sa.Double(), nullable=False),
        sa.Column("seconds_reserved", sa.Double(), nullable=False),
        sa.Column("best_trial", sa.Integer(), nullable=True),
        sa.Column("best_val_top1", sa.Double(), nullable=True),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("result", tables.Json, nullable=True),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("started_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("finished_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["data_set_id"],
            ["data_sets.id"],
        ),
        sa.ForeignKeyConstraint(
            ["source_model_id"],
            ["source_models.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("owner_key", "idempotency_key"),
    )
    op.create_index("ix_jobs_data_set_id", "jobs", ["data_set_id"], unique=False)
    op.create_index("ix_jobs_name", "jobs", ["name"], unique=False)
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["priority", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'running', 'finalising')"),
        sqlite_where=sa.text("state IN ('waiting', 'running', 'finalising')"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"], unique=False)

    op.create_table(
        "events",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", tables.Instant(timezone=True), nullable=False),
        sa.Column("body", tables.Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_table(
        "leases",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("worker_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expires_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("created_at", tables.Instant(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["worker_id"],
            ["workers.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_leases_active",
        "leases",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'active'"),
        sqlite_where=sa.text("state = 'active'"),
    )
    op.create_index("ix_leases_job_id", "leases", ["job_id"], unique=False)
    op.create_index("ix_leases_worker_id", "leases", ["worker_id"], unique=False)

    op.create_table(
        "trials",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        sa.Column("point", tables.Json, nullable=False),
        sa.Column("rates", tables.Json, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("val_top1", sa.Double(), nullable=True),
        sa.Column("val_loss", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("seconds_reserved", sa.Double(), nullable=True),
        sa.Column("weights_sha256", sa.String(length=64), nullable=True),
        sa.Column("ledger_id", sa.Integer(), nullable=True),
        sa.Column("started_at", tables.Instant(timezone=True), nullable=True),
        sa.Column("finished_at", tables.Instant(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id", "number"),
    )
    op.create_table(
        "epochs",
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("train_loss", sa.Double(), nullable=False),
        sa.Column("val_loss", sa.Double(), nullable=False),
        sa.Column("val_top1", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"],
            ["trials.id"],
        ),
        sa.PrimaryKeyConstraint("trial_id", "epoch"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", tables.Serial, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("trial_id", sa.String(length=36), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"],
            ["trials.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_outbox_job_id", "outbox", ["job_id"], unique=False)

    op.create_table(
        "work",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_id", sa.String(length=36), nullable=True),
        sa.Column("upload_sha256", sa.String(length=64), nullable=True),
        sa.Column("report_sha256", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["lease_id"],
            ["leases.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_work_job_id", "work", ["job_id"], unique=False)
    op.create_index("ix_work_lease_id", "work", ["lease_id"], unique=False)
    op.create_index(
        "ix_work_waiting",
        "work",
        ["job_id"],
        unique=False,
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_work_waiting",
        table_name="work",
        postgresql_where=sa.text("state = 'waiting'"),
        sqlite_where=sa.text("state = 'waiting'"),
    )
    op.drop_index("ix_work_lease_id", table_name="work")
    op.drop_index("ix_work_job_id", table_name="work")

    op.drop_table("work")
    op.drop_index("ix_outbox_job_id", table_name="outbox")

    op.drop_table("outbox")
    op.drop_table("epochs")
    op.drop_table("trials")
    op.drop_index("ix_leases_worker_id", table_name="leases")
    op.drop_index("ix_leases_job_id", table_name="leases")
    op.drop_index(
        "ix_leases_active",
        table_name="leases",
        postgresql_where=sa.text("state = 'active'"),
        sqlite_where=sa.text("state = 'active'"),
    )

    op.drop_table("leases")
    op.drop_table("events")
    op.drop_index("ix_jobs_state", table_name="jobs")
    op.drop_index(
        "ix_jobs_open",
        table_name="jobs",
        postgresql_where=sa.text("state IN ('waiting', 'running', 'finalising')"),
        sqlite_where=sa.text("state IN ('waiting', 'running', 'finalising')"),
    )
    op.drop_index("ix_jobs_name", table_name="jobs")
    op.drop_index("ix_jobs_data_set_id", table_name="jobs")

    op.drop_table("jobs")
    op.drop_index("ix_workers_seen_at", table_name="workers")

    op.drop_table("workers")
    op.drop_table("source_models")
    op.drop_index("ix_data_sets_state", table_name="data_sets")
    op.drop_index("ix_data_sets_fingerprint", table_name="data_sets")

    op.drop_table("data_sets")
    op.drop_table("api_keys")
