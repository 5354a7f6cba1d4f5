"""The installation's own prior."""

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "priors",
        sa.Column("id", tables.Id, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("fitted_at", tables.Instant(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("priors")
