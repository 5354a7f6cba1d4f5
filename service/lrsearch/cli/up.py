"""`lrsearch up`: everything on this machine, by one command."""

import sys
import webbrowser
from typing import Annotated

import typer
from platformdirs import user_data_path

from lrsearch.cli.console import err, out
from lrsearch.cli.errors import extra
from lrsearch.cli.options import DataDir, DeviceName
from lrsearch.cli.signals import stop_signals

_LOOK_SECONDS = 0.25


def up(
    data: DataDir = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: a free one.")] = 8000,
    device: DeviceName = "cpu",
    workers: Annotated[int, typer.Option(min=0, help="Local worker processes.")] = 1,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the dashboard in a browser.")
    ] = False,
) -> None:
    """Start the service, its dashboard and a local worker; Ctrl-C stops them."""
    with extra("service"):
        from lrsearch.embedded import Embedded
        from lrsearch.logs import configure_logs
    configure_logs(sys.stderr)
    folder = data or user_data_path("lrsearch")
    with stop_signals() as stop, Embedded(folder, port, workers, device, say=err.print) as embedded:
        out.print(f"Service    {embedded.url}/v1")
        out.print(f"API docs   {embedded.url}/docs")
        out.print(f"Dashboard  {embedded.url}/")
        out.print(f"Data       {folder}", soft_wrap=True)
        out.print("Submit a job: lrsearch submit FOLDER --watch")
        if open_:
            webbrowser.open(embedded.url)
        while not stop.wait(_LOOK_SECONDS):
            embedded.check()
        out.print("Stopping; the workers hand back what they have not finished.")
