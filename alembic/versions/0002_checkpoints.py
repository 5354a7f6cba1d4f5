"""Checkpoints of trials."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("trials", sa.Column("checkpoint_sha256", sa.String(length=64), nullable=True))
    op.add_column("trials", sa.Column("checkpoint_epochs", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("trials", "checkpoint_epochs")
    op.drop_column("trials", "checkpoint_sha256")
