"""Jobs that are paused, and jobs that are deleted."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DELETED = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("jobs", sa.Column("deleted_at", tables.Instant(timezone=True), nullable=True))
    op.create_index(
        "ix_jobs_deleted", "jobs", ["id"], postgresql_where=DELETED, sqlite_where=DELETED
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_deleted", "jobs", postgresql_where=DELETED, sqlite_where=DELETED)
    op.drop_column("jobs", "deleted_at")
    op.drop_column("jobs", "paused")
