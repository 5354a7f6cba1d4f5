"""What strategy `recommend` goes by: validation images, and what was expected."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from lrsearch.contract.recipes import Splits
from lrsearch.contract.splits import split_sizes
from lrsearch.db import tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("validation_images", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("jobs", sa.Column("best_expected_top1", sa.Double(), nullable=True))
    op.add_column("trials", sa.Column("expected", tables.Json, nullable=True))
    _count_validation_images(op.get_bind())


def downgrade() -> None:
    op.drop_column("trials", "expected")
    op.drop_column("jobs", "best_expected_top1")
    op.drop_column("jobs", "validation_images")


def _count_validation_images(connection: sa.Connection) -> None:
    """Of the jobs that are there already."""
    jobs = sa.table(
        "jobs",
        sa.column("id", tables.Id),
        sa.column("data_set_id", tables.Id),
        sa.column("request", tables.Json),
        sa.column("validation_images", sa.Integer()),
    )
    data_sets = sa.table(
        "data_sets", sa.column("id", tables.Id), sa.column("statistics", tables.Json)
    )
    rows = connection.execute(
        sa.select(jobs.c.id, jobs.c.request, data_sets.c.statistics).join(
            data_sets, data_sets.c.id == jobs.c.data_set_id
        )
    ).all()
    for job_id, request, statistics in rows:
        connection.execute(
            jobs.update()
            .where(jobs.c.id == job_id)
            .values(validation_images=_validation_images(request, statistics))
        )


def _validation_images(request: dict[str, Any], statistics: dict[str, Any]) -> int:
    splits = Splits.model_validate(request["recipe"]["splits"])
    sizes = (split_sizes(label["distinct"], splits) for label in statistics["labels"])
    return sum(size.validation for size in sizes)
