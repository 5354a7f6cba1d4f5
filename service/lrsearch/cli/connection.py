"""The service that the commands talk to, and the things on it that they are given by name."""

from dataclasses import dataclass
from pathlib import Path

import typer

from lrsearch.cli.errors import UsageError
from lrsearch.client import Client
from lrsearch.client.transport import read_key
from lrsearch.contract.jobs import Job

LAST = "last"

_ATTEMPTS = 4
"""Enough for a hiccup; who mistypes an address should not wait long."""

_ID_CHARACTERS = 36


@dataclass(frozen=True)
class Connection:
    """Address and key, as given before the command's name."""

    url: str | None
    key_file: Path | None


def client_of(context: typer.Context) -> Client:
    """A client of the service that the command line names."""
    connection = connection_of(context)
    key = read_key(connection.key_file) if connection.key_file else None
    return Client(connection.url, key, attempts=_ATTEMPTS)


def connection_of(context: typer.Context) -> Connection:
    """What was given before the command's name."""
    return context.find_object(Connection) or Connection(None, None)


def job_of(client: Client, reference: str) -> Job:
    """The job of an id, the newest of a name, or the newest of all (`last`).

    Raises:
        UsageError: There is none.
    """
    if len(reference) == _ID_CHARACTERS and reference.count("-") == 4:
        return client.job(reference)
    found = next(client.jobs(name=None if reference == LAST else reference), None)
    if found is None and reference == LAST:
        raise UsageError("There is no job yet; submit one with `lrsearch submit`.")
    if found is None:
        raise UsageError(
            f"There is no job {reference!r}: give its id, its name, or `{LAST}`; "
            "`lrsearch jobs` lists them."
        )
    return found
