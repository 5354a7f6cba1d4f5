"""Webhooks: who is told of a job's end, and how far that is."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

DUE = sa.text("webhook_next_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("webhook_secret", sa.Text(), nullable=True))
    op.add_column(
        "jobs", sa.Column("webhook_attempts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("jobs", sa.Column("webhook_error", sa.Text(), nullable=True))
    for name in ("webhook_next_at", "webhook_delivered_at"):
        op.add_column("jobs", sa.Column(name, tables.Instant(timezone=True), nullable=True))
    op.create_index(
        "ix_jobs_webhook", "jobs", ["webhook_next_at"], postgresql_where=DUE, sqlite_where=DUE
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_webhook", "jobs", postgresql_where=DUE, sqlite_where=DUE)
    for name in ("delivered_at", "next_at", "error", "attempts", "secret"):
        op.drop_column("jobs", f"webhook_{name}")
