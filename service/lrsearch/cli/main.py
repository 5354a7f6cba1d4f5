"""The command line's commands, put together."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from lrsearch.cli import control, data, db, jobs, keys, models, prior
from lrsearch.cli.connection import Connection
from lrsearch.cli.demo import demo
from lrsearch.cli.errors import Commands
from lrsearch.cli.gc import gc
from lrsearch.cli.recommend import recommend
from lrsearch.cli.report import report
from lrsearch.cli.serve import serve
from lrsearch.cli.submit import submit
from lrsearch.cli.up import up
from lrsearch.cli.watch import watch
from lrsearch.cli.workers import workers

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Finds the learning rates for finetuning an image classifier on a small data set.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

_COMMANDS: dict[str, list[Callable[..., None]]] = {
    "Everything on this machine": [up, demo],
    "Jobs": [
        submit,
        watch,
        jobs.jobs,
        jobs.show,
        jobs.logs,
        jobs.weights,
        report,
        recommend,
    ],
    "Control of jobs": [
        control.pause,
        control.resume,
        control.change,
        control.cancel,
        control.delete,
    ],
}
for panel, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(data.app, name="data", rich_help_panel="What jobs are made of")
app.add_typer(models.app, name="models", rich_help_panel="What jobs are made of")
app.command(rich_help_panel="What jobs are made of")(workers)
app.command(rich_help_panel="Running a service")(serve)
app.command(rich_help_panel="Running a service")(gc)
app.add_typer(db.app, name="db", rich_help_panel="Running a service")
app.add_typer(keys.app, name="keys", rich_help_panel="Running a service")
app.add_typer(prior.app, name="prior", rich_help_panel="Running a service")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("lrsearch"))
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    url: Annotated[
        str | None, typer.Option(envvar="LRSEARCH_URL", help="Address of the service.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            envvar="LRSEARCH_API_KEY_FILE",
            dir_okay=False,
            help="File with the API key; else LRSEARCH_API_KEY holds it.",
        ),
    ] = None,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Finds the learning rates for finetuning an image classifier on a small data set."""
    context.obj = Connection(url, key_file)
