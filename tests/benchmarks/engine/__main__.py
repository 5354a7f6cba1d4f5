"""`python -m tests.benchmarks.engine`: what the finetune engine is worth.

`measure` compares the trials of the graduated protocol run by the engine, by a plain PyTorch
script with one process a trial, and by the same script with all trials in one process.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from lrsearch.contract.recipes import Recipe
from tests.benchmarks.engine.measure import Part, Plan, measure
from tests.benchmarks.engine.paired import read_rows, run_pairs, summarise
from tests.benchmarks.engine.task import (
    IMAGES_PER_LABEL,
    SILHOUETTES,
    write_garments,
    write_task,
)

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)

Size = Annotated[int, typer.Option(help="Training images: 200, or 2000 (needs --images).")]
Side = Annotated[int, typer.Option(help="Pixels a side.")]
Epochs = Annotated[int, typer.Option(help="Epochs of a finetune.")]
ImagesFolder = Annotated[
    Path | None,
    typer.Option(help="Folder that `tests.benchmarks.images fetch` wrote; holds `garments`."),
]
Out = Annotated[Path, typer.Option(help="Folder for the rows: a line for each run.")]


@app.command("measure")
def measure_command(
    size: Size = 200,
    input_size: Side = 32,
    epochs: Epochs = 20,
    rounds: Annotated[int, typer.Option(help="Repetitions; medians are reported.")] = 3,
    parts: Annotated[str, typer.Option(help="Comma-separated.")] = ",".join(Part),
    images: ImagesFolder = None,
    out: Out = Path("out/engine"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Two trials of one epoch: does it all work?")
    ] = False,
) -> None:
    """Print progress to stderr and one JSON object, which is the last line of stdout."""
    if unknown := set(parts.split(",")) - set(Part):
        raise typer.BadParameter(
            f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(Part)}"
        )
    recipe = Recipe(epochs=1 if quick else epochs, input_size=input_size)
    rows = _rows(out, f"{size}-{input_size}")
    rows.unlink(missing_ok=True)
    with _archive(size, images) as archive, tempfile.TemporaryDirectory() as name:
        plan = Plan(
            folder=Path(name) / "task",
            recipe=recipe,
            images_per_label=IMAGES_PER_LABEL[size],
            rounds=1 if quick else rounds,
            parts=frozenset(map(Part, parts.split(","))),
            quick=quick,
        )
        write_task(plan.folder, archive, recipe, plan.images_per_label)
        print(json.dumps(measure(plan, rows, _say), allow_nan=False))


@app.command()
def paired(
    size: Size = 200,
    input_size: Side = 32,
    epochs: Epochs = 20,
    seeds: Annotated[int, typer.Option(help="Recipe seeds, from 0.")] = 20,
    images: ImagesFolder = None,
    out: Out = Path("out/engine"),
) -> None:
    """Accuracies of engine and script over seeds; run it again and it goes on where it stopped."""
    recipe = Recipe(epochs=epochs, input_size=input_size)
    rows = _rows(out, f"paired-{size}-{input_size}")
    with _archive(size, images) as archive:
        run_pairs(archive, recipe, IMAGES_PER_LABEL[size], seeds, rows, _say)
    print(json.dumps(summarise(read_rows(rows)), allow_nan=False))


def _rows(out: Path, name: str) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return out / f"{name}.jsonl"


@contextmanager
def _archive(size: int, images: Path | None) -> Iterator[Path]:
    """The ZIP file of the task of `size` training images."""
    if size not in IMAGES_PER_LABEL:
        raise typer.BadParameter(f"size is {size}; there are {sorted(IMAGES_PER_LABEL)}")
    if size == min(IMAGES_PER_LABEL):
        yield SILHOUETTES
        return
    if images is None:
        raise typer.BadParameter(
            f"--size {size} needs --images FOLDER, which is written by "
            "`python -m tests.benchmarks.images fetch FOLDER --domains garments`"
        )
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "garments.zip"
        write_garments(images, archive)
        yield archive


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    app()
