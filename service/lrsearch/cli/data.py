"""`lrsearch data`: target data sets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from lrsearch.cli.connection import client_of
from lrsearch.cli.console import err, out, print_json
from lrsearch.cli.options import Json, Shared
from lrsearch.cli.tables import data_set_summary, data_sets_table
from lrsearch.client import Client
from lrsearch.contract.datasets import DataSet

app = typer.Typer(no_args_is_help=True, help="Target data sets.")


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List data sets, newest first."""
    with client_of(context) as client:
        found = list(client.data_sets())
    if json:
        print_json(found)
    elif found:
        out.print(data_sets_table(found))
    else:
        out.print("No data set yet; add one with `lrsearch data upload FOLDER`.")


@app.command("upload")
def upload_command(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Folder of one folder a label, or an archive.")],
    name: Annotated[str | None, typer.Option(help="Default: the path's last part.")] = None,
    shared: Shared = False,
    json: Json = False,
) -> None:
    """Upload a data set and wait until it has been validated."""
    with client_of(context) as client:
        data_set = upload(client, path, name, shared=shared)
    print_json(data_set) if json else out.print(data_set_summary(data_set))


@app.command("show")
def show(
    context: typer.Context,
    data_set: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
) -> None:
    """Show a data set: its labels, its images, and what is wrong with it."""
    with client_of(context) as client:
        found = client.data_set(data_set)
    print_json(found) if json else out.print(data_set_summary(found))


def upload(client: Client, path: Path, name: str | None, *, shared: bool = False) -> DataSet:
    """Uploads and waits for the validation, with a progress bar on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(f"Uploading {path.name}", total=None)
        data_set = client.upload_data_set(
            path,
            name,
            lambda sent, total: progress.update(task, completed=sent, total=total),
            shared=shared,
        )
        progress.update(task, description=f"Validating {data_set.name}")
        return client.wait_for_data_set(data_set.id)
