"""`lrsearch models`: source models."""

from pathlib import Path
from typing import Annotated

import typer

from lrsearch.cli.connection import client_of
from lrsearch.cli.console import out, print_json
from lrsearch.cli.options import Json, Shared
from lrsearch.cli.tables import source_model_summary, source_models_table

app = typer.Typer(no_args_is_help=True, help="Source models.")


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List source models, newest first."""
    with client_of(context) as client:
        found = list(client.source_models())
    if json:
        print_json(found)
    elif found:
        out.print(source_models_table(found))
    else:
        out.print("No source model yet; add one with `lrsearch models register`.")


@app.command("register")
def register(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Safetensors file.")],
    name: Annotated[str | None, typer.Option(help="Default: the file's name.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until a worker has checked it.")
    ] = True,
    shared: Shared = False,
    json: Json = False,
) -> None:
    """Register a checkpoint; `lrsearch-worker models convert` makes one of a PyTorch file."""
    with client_of(context) as client:
        model = client.register_source_model(path, name or path.stem, shared=shared)
        if wait:
            model = client.wait_for_source_model(model.id)
    print_json(model) if json else out.print(source_model_summary(model))


@app.command("show")
def show(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Id or name.")],
    json: Json = False,
) -> None:
    """Show a source model and its card."""
    with client_of(context) as client:
        found = client.source_model(model)
    print_json(found) if json else out.print(source_model_summary(found))
