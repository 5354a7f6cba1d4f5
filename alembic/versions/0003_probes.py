"""What a job's probe has found."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("probe", tables.Json, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "probe")
