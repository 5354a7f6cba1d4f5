"""What workers logged of their trials."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trial_logs",
        sa.Column("trial_id", sa.String(length=36), nullable=False),
        sa.Column("lease_id", sa.String(length=36), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("began_at", tables.Instant(timezone=True), nullable=False),
        sa.Column("last_line", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trial_id"],
            ["trials.id"],
        ),
        sa.PrimaryKeyConstraint("trial_id", "lease_id"),
    )


def downgrade() -> None:
    op.drop_table("trial_logs")
