"""`lrsearch keys`: API keys, over the API where a service is named, else in the database itself."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from lrsearch.cli.connection import client_of, connection_of
from lrsearch.cli.console import err, out, print_json
from lrsearch.cli.db import open_database
from lrsearch.cli.errors import UsageError
from lrsearch.cli.options import Json
from lrsearch.cli.tables import age, plain_table
from lrsearch.client import Client
from lrsearch.contract.keys import Key, KeyChange, KeyRequest, Limits, NewKey

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_DAY_SECONDS = 86_400.0
_GIB = 2**30

Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope", help="read, submit, worker or admin; repeatable (default: read, submit)."
    ),
]
Owner = Annotated[
    str | None, typer.Option(help="Whose jobs and data it sees (default: the key's name).")
]

RunningJobs = Annotated[int | None, typer.Option(help="Limit of unfinished jobs; 0: none.")]
StoredGib = Annotated[
    float | None,
    typer.Option(help="Limit of data sets, source models and weights of jobs; 0: none."),
]
RequestsPerSecond = Annotated[float | None, typer.Option(help="Limit of requests; 0: none.")]

app = typer.Typer(
    no_args_is_help=True,
    help="API keys: of the service that --url or LRSEARCH_URL names, which takes an admin key, "
    "else in the database of the service's own settings (LRSEARCH_DATABASE_URL, …).",
)


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    owner: Owner = None,
    scope: Scopes = None,
    days: Annotated[float | None, typer.Option(help="Ends after so many days.")] = None,
    running_jobs: RunningJobs = None,
    stored_gib: StoredGib = None,
    requests_per_second: RequestsPerSecond = None,
) -> None:
    """Create a key and print its secret, which is not kept and cannot be shown again."""
    limits = _limits(running_jobs, stored_gib, requests_per_second)
    seconds = None if days is None else days * _DAY_SECONDS
    request = _request(name, owner, scope, expires_in_seconds=seconds, limits=limits)
    with _key_store(context) as store:
        made = store.create_key(request)
    err.print("The key's secret, shown this once:")
    out.print(made.secret, soft_wrap=True)


@app.command("ensure")
def ensure(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="Holds the key's secret.")],
    name: Annotated[str, typer.Option(help="What it is for (default: the file's name).")] = "",
    owner: Owner = None,
    scope: Scopes = None,
) -> None:
    """See to it that a file holds a key that is admitted, for programs that start unattended.

    Run again, it changes nothing, unless the key has been revoked, has expired or may do less.
    It works on the database.
    """
    request = _request(name or file.stem, owner, scope)
    with _transaction() as session:
        from lrsearch.access.keys import admit_secret, create_key

        secret = file.read_text(encoding="utf-8").strip() if file.exists() else ""
        if secret:  # made by an earlier run, perhaps for a database that is gone
            admit_secret(session, request, secret)
        if secret and _grants(session, secret, request):
            out.print(f"The key in {file} is admitted.", soft_wrap=True)
            return
        # Written before the key is committed: if that fails, the next run admits the file's.
        _write_private(file, create_key(session, request).secret)
    out.print(f"Wrote a new key to {file}.", soft_wrap=True)


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the keys; their secrets are not kept."""
    with _key_store(context) as store:
        found = list(store.keys())
    print_json(found) if json else out.print(_table(found))


@app.command("change")
def change(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key's id, or the prefix of its secret.")],
    running_jobs: RunningJobs = None,
    stored_gib: StoredGib = None,
    requests_per_second: RequestsPerSecond = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Let the service's limits hold where none is given.")
    ] = False,
) -> None:
    """Give a key other limits, at once; those that are not given stay."""
    limits = _limits(running_jobs, stored_gib, requests_per_second, reset=reset)
    if not limits.model_fields_set:
        raise UsageError("Give a limit: --running-jobs, --stored-gib or --requests-per-second.")
    with _key_store(context) as store:
        changed = store.change_key(key, KeyChange(limits=limits))
    out.print(f"{changed.prefix or changed.id} ({changed.name}): {_told(changed.limits)}.")


@app.command("revoke")
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key's id, or the prefix of its secret.")],
) -> None:
    """End a key at once."""
    with _key_store(context) as store:
        revoked = store.revoke_key(key)
    out.print(f"Revoked {revoked.prefix or revoked.id} ({revoked.name}).")


def _request(name: str, owner: str | None, scope: list[str] | None, **more: Any) -> KeyRequest:
    """Raises `ValidationError` where something in it cannot be."""
    given = {"scopes": scope} if scope else {}
    return KeyRequest(name=name, owner=owner, **given, **more)


def _limits(
    running_jobs: int | None,
    stored_gib: float | None,
    requests_per_second: float | None,
    *,
    reset: bool = False,
) -> Limits:
    """Those that are given, or if `reset` all. Raises `ValidationError` where one cannot be."""
    limits = {
        "running_jobs": running_jobs,
        "stored_bytes": None if stored_gib is None else int(stored_gib * _GIB),
        "requests_per_second": requests_per_second,
    }
    return Limits(**{name: value for name, value in limits.items() if reset or value is not None})


def _told(limits: Limits) -> str:
    """Limits of a key's own, in words."""
    told = {
        "running jobs": limits.running_jobs,
        "GiB": limits.stored_bytes and limits.stored_bytes / _GIB,
        "requests/s": limits.requests_per_second,
    }
    own = [
        f"any {what}" if most == 0 else f"{most:g} {what}"
        for what, most in told.items()
        if most is not None
    ]
    return ", ".join(own) or "the service's limits"


def _table(keys: Iterable[Key]) -> Table:
    table = plain_table("key", "name", "owner", "scopes", "limits", "age>", "used>", "ends", "")
    for key in keys:
        table.add_row(
            key.prefix or key.id,
            key.name,
            key.owner,
            ", ".join(key.scopes),
            _told(key.limits),
            age(key.created_at),
            f"{age(key.last_used_at)} ago" if key.last_used_at else "never",
            f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
            Text("revoked", style="red") if key.revoked_at else "",
        )
    return table


@dataclass(frozen=True)
class _Stored:
    """The keys in the database, with the client's methods for those of a service."""

    session: "Session"

    def create_key(self, request: KeyRequest) -> NewKey:
        from lrsearch.access.keys import create_key

        return create_key(self.session, request)

    def keys(self) -> Iterator[Key]:
        from lrsearch.access.keys import list_keys

        cursor: str | None = None
        while True:
            page = list_keys(self.session, cursor, limit=200)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def change_key(self, key: str, change: KeyChange) -> Key:
        from lrsearch.access.keys import change_key

        return change_key(self.session, key, change)

    def revoke_key(self, key: str) -> Key:
        from lrsearch.access.keys import revoke_key

        return revoke_key(self.session, key)


@contextmanager
def _key_store(context: typer.Context) -> Iterator[Client | _Stored]:
    if connection_of(context).url is not None:
        with client_of(context) as client:
            yield client
        return
    with _transaction() as session:
        yield _Stored(session)


def _grants(session: "Session", secret: str, request: KeyRequest) -> bool:
    from lrsearch.access.keys import authenticate
    from lrsearch.errors import UnauthenticatedError

    try:
        granted = authenticate(session, secret).scopes
    except UnauthenticatedError:
        return False
    return granted >= set(request.scopes)


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
