"""What claims ask of open jobs: those that have nothing to give now, in the order of their turn."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('waiting', 'running', 'finalising')")


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("dormant", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.drop_index("ix_jobs_open", "jobs", postgresql_where=OPEN, sqlite_where=OPEN)
    _index("ix_jobs_open", [sa.text("priority DESC"), "id"])
    _index("ix_jobs_open_owner", ["owner"])


def downgrade() -> None:
    op.drop_index("ix_jobs_open_owner", "jobs", postgresql_where=OPEN, sqlite_where=OPEN)
    op.drop_index("ix_jobs_open", "jobs", postgresql_where=OPEN, sqlite_where=OPEN)
    _index("ix_jobs_open", ["priority", "id"])
    op.drop_column("jobs", "dormant")


def _index(name: str, columns: list[str | sa.TextClause]) -> None:
    op.create_index(name, "jobs", columns, postgresql_where=OPEN, sqlite_where=OPEN)
