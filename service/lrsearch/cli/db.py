"""`lrsearch db`: the database's tables."""

import typer

from lrsearch.cli.console import out
from lrsearch.cli.errors import extra

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
    upgrade(settings)
    out.print(f"The tables in {settings.database.render_as_string()} are up to date.")
