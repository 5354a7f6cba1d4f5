"""`lrsearch db`: the database's tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from lrsearch.cli.console import out
from lrsearch.cli.errors import UsageError, extra

if TYPE_CHECKING:
    from lrsearch.db.engine import Database
    from lrsearch.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The database's tables.")


@app.callback()
def _commands() -> None:
    """Keeps the command's name while there is one alone."""


@app.command("upgrade")
def upgrade() -> None:
    """Create the tables, or bring them up to date; the environment (LRSEARCH_…) says where."""
    with extra("service"):
        from lrsearch.db.migrate import upgrade
        from lrsearch.settings import Settings
    settings = Settings()
    with usable_database(settings):
        upgrade(settings)
    out.print(f"The tables in {settings.database.render_as_string()} are up to date.")


@contextmanager
def open_database() -> "Iterator[Database]":
    """The database that the environment names, for commands on the service's own machine."""
    with extra("service"):
        from lrsearch.db.engine import Database
        from lrsearch.settings import Settings
    settings = Settings()
    with usable_database(settings):
        database = Database(settings.database)
        try:
            yield database
        finally:
            database.dispose()


@contextmanager
def usable_database(settings: "Settings") -> Iterator[None]:
    """Says in a sentence that the database cannot be reached, or has no tables."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        raise UsageError(
            f"The database {settings.database.render_as_string()} cannot be used: "
            f"{str(error.orig).strip()}\nAre LRSEARCH_DATABASE_URL and "
            "LRSEARCH_DATABASE_PASSWORD_FILE right? Tables are made by `lrsearch db upgrade`."
        ) from error
