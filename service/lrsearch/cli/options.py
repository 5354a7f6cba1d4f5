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

BUDGET = "Budget: the first bound reached ends the search"

Trials = Annotated[int | None, typer.Option(help="Finetunes at most.", rich_help_panel=BUDGET)]

EpochsBudget = Annotated[int | None, typer.Option(help="Epochs at most.", rich_help_panel=BUDGET)]

Seconds = Annotated[
    float | None, typer.Option(help="Worker seconds at most.", rich_help_panel=BUDGET)
]

TargetAccuracy = Annotated[
    float | None,
    typer.Option(help="Validation top-1 that is enough, 0 to 1.", rich_help_panel=BUDGET),
]

Priority = Annotated[int | None, typer.Option(help="Higher is served first.")]
