"""How large the stored weights of trials are; of what was stored before it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

KEPT = sa.text("weights_sha256 IS NOT NULL")


def upgrade() -> None:
    op.add_column("trials", sa.Column("weights_bytes", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_trials_weights", "trials", ["job_id"], postgresql_where=KEPT, sqlite_where=KEPT
    )


def downgrade() -> None:
    op.drop_index("ix_trials_weights", "trials", postgresql_where=KEPT, sqlite_where=KEPT)
    op.drop_column("trials", "weights_bytes")
