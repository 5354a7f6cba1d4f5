"""Alembic's environment: runs the migrations on a connection, or on the configured database."""

from alembic import context
from sqlalchemy import Connection

from lrsearch.db.engine import Database
from lrsearch.db.migrate import VERSION_TABLE
from lrsearch.db.tables import Table
from lrsearch.settings import Settings


def run(connection: Connection) -> None:
    """Migrate on an open connection."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        version_table=VERSION_TABLE,
        render_as_batch=connection.dialect.name == "sqlite",
        user_module_prefix="tables.",
        include_name=lambda name, kind, parents: (
            not (kind == "schema" and name not in (None, "public"))
        ),
    )
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    database = Database(Settings().database)
    with database.engine.begin() as own:
        run(own)
    database.dispose()
