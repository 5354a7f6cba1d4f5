"""`lrsearch keys`: API keys, in the database that LRSEARCH_… names."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from lrsearch.cli.console import err, out
from lrsearch.cli.errors import extra
from lrsearch.cli.tables import age, plain_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_DEFAULT = ["read", "submit"]

app = typer.Typer(no_args_is_help=True, help="API keys.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, submit, worker or admin; repeatable (default: read, submit)."),
    ] = None,
    days: Annotated[float | None, typer.Option(help="Ends after so many days.")] = None,
) -> None:
    """Create a key and print its secret, which is not kept and cannot be shown again."""
    with _transaction() as session:
        from lrsearch.keys import create_key

        secret = create_key(
            session, name, scope or _DEFAULT, timedelta(days=days) if days else None
        )
    err.print("The key's secret, shown this once:")
    out.print(secret, soft_wrap=True)


@app.command("list")
def list_() -> None:
    """List the keys; their secrets are not kept."""
    table = plain_table("id", "name", "scopes", "age>", "ends", "")
    with _transaction() as session:
        from lrsearch.keys import list_keys

        for key in list_keys(session):
            table.add_row(
                key.id,
                key.name,
                ", ".join(key.scopes),
                age(key.created_at),
                f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
                Text("revoked", style="red") if key.revoked_at else "",
            )
    out.print(table)


@app.command("revoke")
def revoke(key: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """End a key at once."""
    with _transaction() as session:
        from lrsearch.keys import revoke_key

        revoke_key(session, key)
    out.print(f"Revoked {key}.")


@contextmanager
def _transaction() -> "Iterator[Session]":
    with extra("service"):
        from lrsearch.db.engine import Database
        from lrsearch.settings import Settings
    database = Database(Settings().database)
    try:
        with database.write() as session:
            yield session
    finally:
        database.dispose()
