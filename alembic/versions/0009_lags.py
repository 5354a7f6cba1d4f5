"""Since when work waits, and since when the ledger has something to be told."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("work", sa.Column("waits_since", tables.Instant(timezone=True), nullable=True))
    op.add_column("outbox", sa.Column("created_at", tables.Instant(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "created_at")
    op.drop_column("work", "waits_since")
