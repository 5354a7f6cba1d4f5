"""`lrsearch workers`."""

import typer

from lrsearch.cli.connection import client_of
from lrsearch.cli.console import out, print_json
from lrsearch.cli.options import Json
from lrsearch.cli.tables import workers_table


def workers(context: typer.Context, json: Json = False) -> None:
    """List the workers, and when each was last seen."""
    with client_of(context) as client:
        found = client.workers()
    if json:
        print_json(found)
    elif found:
        out.print(workers_table(found))
    else:
        out.print("No worker has registered; start one with `lrsearch-worker run`.")
