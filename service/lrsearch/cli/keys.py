"""`lrsearch keys`: API keys, in the database that LRSEARCH_… names."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from lrsearch.cli.console import err, out
from lrsearch.cli.db import open_database
from lrsearch.cli.tables import age, plain_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_DEFAULT = ["read", "submit"]

Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", help="read, submit, worker or admin; repeatable (default: read, submit)."
    ),
]

app = typer.Typer(no_args_is_help=True, help="API keys.")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, or what for.")],
    scope: Scopes = None,
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


@app.command("ensure")
def ensure(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Holds the key's secret.")],
    name: Annotated[str, typer.Option(help="What it is for (default: the file's name).")] = "",
    scope: Scopes = None,
) -> None:
    """See to it that a file holds a key that is admitted, for programs that start unattended.

    Run again, it changes nothing, unless the key has been revoked, has expired or may do less.
    """
    name, scopes = name or file.stem, scope or _DEFAULT
    with _transaction() as session:
        from lrsearch.keys import add_key, create_key

        secret = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if secret:  # made by an earlier run, perhaps for a database that is gone
            add_key(session, name, scopes, secret)
        if secret and _grants(session, secret, scopes):
            out.print(f"The key in {file} is admitted.", soft_wrap=True)
            return
        # Written before the key is committed: if that fails, the next run admits the file's.
        _write_private(file, create_key(session, name, scopes))
    out.print(f"Wrote a new key to {file}.", soft_wrap=True)


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


def _grants(session: "Session", secret: str, scopes: list[str]) -> bool:
    from lrsearch.errors import UnauthenticatedError
    from lrsearch.keys import authenticate

    try:
        granted = authenticate(session, secret).scopes
    except UnauthenticatedError:
        return False
    return granted >= set(scopes)


def _write_private(file: Path, text: str) -> None:
    """Replaces the file whole, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as draft:
        draft.write(text + "\n")
    Path(draft.name).replace(file)


@contextmanager
def _transaction() -> "Iterator[Session]":
    with open_database() as database, database.write() as session:
        yield session
