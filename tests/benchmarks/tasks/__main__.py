"""`python -m tests.benchmarks.tasks`: the table of what every rate gives on real tasks."""

from pathlib import Path
from typing import Annotated

import typer

from tests.benchmarks.tasks.build import build, files_of
from tests.benchmarks.tasks.look import append_probe, look, read_probes
from tests.benchmarks.tasks.points import LAYERS
from tests.benchmarks.tasks.run import Cell, run_cells
from tests.benchmarks.tasks.suite import SUITE, recipe_of
from tests.benchmarks.tasks.table import FOLDER, PROBES_LINES, write_table

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)

Suite = Annotated[Path, typer.Option(help="Folder of the tasks' files.")]

Sources = Annotated[Path, typer.Option(help="Folder of source models.")]
Rows = Annotated[Path, typer.Option(help="Folder of what is stored.")]

Table = Annotated[Path, typer.Option("--table", help="Folder of the table.")]


@app.command("build")
def build_command(
    images: Annotated[Path, typer.Argument(help="Folder that `images fetch` wrote.")],
    suite: Suite = Path("out/suite"),
) -> None:
    """Lay out every task whose domain is there: what its user has, and its audit split."""
    for task in SUITE.values():
        if files_of(suite, task).audit.exists():
            continue
        if not (images / task.domain).exists():
            print(f"{task.name}: no {task.domain}; fetch it first")
            continue
        user, audit = build(images, task, suite)
        print(
            f"{task.name}: {len(task.labels)} labels, {task.images_per_label} images per label, "
            f"{user} images for the user, {audit} to audit with",
            flush=True,
        )


@app.command("run")
def run_command(
    layer: Annotated[str, typer.Argument(help=f"One of {', '.join(LAYERS)}.")],
    tasks: Annotated[str, typer.Option(help="Comma-separated; all by default.")] = ",".join(SUITE),
    source: Annotated[str | None, typer.Option(help="This one; each task's by default.")] = None,
    threads: Annotated[int, typer.Option(help="Trials that compute at a time.")] = 2,
    suite: Suite = Path("out/suite"),
    sources: Sources = Path("out/sources"),
    rows: Rows = Path("out/rows"),
) -> None:
    """Run a layer through the service; run it again and it goes on where it stopped."""
    if layer not in LAYERS:
        raise typer.BadParameter(f"no such layer: {layer}; there are {', '.join(LAYERS)}")
    if unknown := set(tasks.split(",")) - set(SUITE):
        raise typer.BadParameter(f"no such task: {', '.join(sorted(unknown))}")
    probes = read_probes(rows / PROBES_LINES)
    cells = [
        Cell(
            *(LAYERS[layer], SUITE[name], chosen, seed),
            protocol=LAYERS[layer].space(probes.get((name, chosen, seed))),
        )
        for seed in LAYERS[layer].seeds
        for name in tasks.split(",")
        for chosen in ([source] if source else SUITE[name].sources)
    ]
    run_cells(cells, suite, sources, rows, threads)


@app.command("look")
def look_command(
    seeds: Annotated[int, typer.Option(help="Recipe seeds, from 0.")] = 1,
    suite: Suite = Path("out/suite"),
    sources: Sources = Path("out/sources"),
    rows: Rows = Path("out/rows"),
) -> None:
    """Probe every task with each of its sources; run it again and it goes on."""
    path = rows / PROBES_LINES
    there = read_probes(path)
    for task in SUITE.values():
        for source in task.sources:
            for seed in range(seeds):
                if (task.name, source, seed) in there or not files_of(suite, task).user.exists():
                    continue
                found = look(task, source, recipe_of(source, seed), suite, sources)
                append_probe(path, {"task": task.name, "source": source, "seed": seed}, found)
                print(f"{task.name} {source} {seed}: {found.seconds:.2f} s", flush=True)


@app.command("table")
def table_command(rows: Rows = Path("out/rows"), folder: Table = FOLDER) -> None:
    """Put all that is stored into the table."""
    for layer, trials in write_table(rows, folder).items():
        print(f"{layer}: {trials} trials")


if __name__ == "__main__":
    app()
