"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

JobReference = Annotated[str, typer.Argument(metavar="JOB", help="Id or name of a job, or `last`.")]

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

Shared = Annotated[bool, typer.Option("--shared", help="For everybody's use; takes an admin key.")]

OutFile = Annotated[Path | None, typer.Option("--out", "-o", help="File to write.")]

DataDir = Annotated[
    Path | None,
    typer.Option("--data", file_okay=False, help="Folder for everything that is kept."),
]

DeviceName = Annotated[
    str, typer.Option("--device", help="What the local workers compute on: cpu, cuda or mps.")
]
