"""Owners of keys, jobs, data sets and source models; names are each owner's own matter."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from lrsearch.db import tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMED = ("data_sets", "source_models")


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("owner", sa.Text(), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("prefix", sa.Text(), nullable=True))
    op.add_column("api_keys", sa.Column("limits", tables.Json, nullable=False, server_default="{}"))
    op.add_column("api_keys", sa.Column("last_used_at", tables.Instant(True), nullable=True))
    # What there is belongs to the key that made it: each key of before is an owner of its own.
    op.execute("UPDATE api_keys SET owner = id")

    op.drop_column("jobs", "owner")
    op.execute("ALTER TABLE jobs RENAME COLUMN owner_key TO owner")
    op.create_index("ix_jobs_owner", "jobs", ["owner", "id"])

    for name in NAMED:
        op.execute(f"UPDATE {name} SET owner = '' WHERE owner IS NULL")  # noqa: S608 - ours
    if op.get_bind().dialect.name == "sqlite":
        for name in NAMED:
            _make_again(name, sa.Column("owner", sa.Text(), nullable=False), ["owner", "name"])
    else:
        for name in NAMED:
            op.alter_column(name, "owner", type_=sa.Text(), nullable=False)
            op.drop_constraint(f"{name}_name_key", name, type_="unique")
            op.create_unique_constraint(f"{name}_owner_name_key", name, ["owner", "name"])
    for name in NAMED:
        op.create_index(f"ix_{name}_name", name, ["name"])
    op.add_column("data_sets", sa.Column("upload_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("data_sets", "upload_bytes")
    for name in NAMED:
        op.drop_index(f"ix_{name}_name", name)
    if op.get_bind().dialect.name == "sqlite":
        for name in NAMED:
            _make_again(name, sa.Column("owner", tables.Id, nullable=True), ["name"])
    else:
        for name in NAMED:
            op.drop_constraint(f"{name}_owner_name_key", name, type_="unique")
            op.create_unique_constraint(f"{name}_name_key", name, ["name"])
            op.alter_column(name, "owner", type_=tables.Id, nullable=True)
    for name in NAMED:
        op.execute(f"UPDATE {name} SET owner = NULL WHERE owner = ''")  # noqa: S608 - ours

    op.drop_index("ix_jobs_owner", "jobs")
    op.execute("ALTER TABLE jobs RENAME COLUMN owner TO owner_key")
    op.add_column("jobs", sa.Column("owner", tables.Id, nullable=True))
    op.execute("UPDATE jobs SET owner = owner_key WHERE owner_key <> ''")

    for column in ("last_used_at", "limits", "prefix", "owner"):
        op.drop_column("api_keys", column)


def _make_again(name: str, owner: sa.Column[str], unique: Sequence[str]) -> None:
    """Replace column `owner` and the unique constraint, which SQLite cannot change.

    The new table has the old one's name before its rows come back: only so are the jobs that refer
    to them content when the transaction ends.
    """
    bind = op.get_bind()
    bind.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    old = sa.Table(name, sa.MetaData(), autoload_with=bind)
    columns = [
        owner
        if column.name == "owner"
        else sa.Column(column.name, column.type, nullable=column.nullable)
        for column in old.columns
    ]
    names = ", ".join(column.name for column in columns)
    op.execute(f"CREATE TABLE kept AS SELECT {names} FROM {name}")  # noqa: S608 - ours
    op.drop_table(name)
    op.create_table(name, *columns, sa.PrimaryKeyConstraint("id"), sa.UniqueConstraint(*unique))
    op.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM kept")  # noqa: S608 - ours
    op.drop_table("kept")
    for index in old.indexes:
        assert index.name is not None
        op.create_index(index.name, name, [column.name for column in index.columns])
