"""Accuracies of engine and script, paired over seeds: the same splits, order and head in both."""

import json
import math
import tempfile
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from lrsearch.contract.recipes import Recipe
from tests.benchmarks.engine.runs import CORES, Run, Settings, engine, one_process
from tests.benchmarks.engine.search import Say
from tests.benchmarks.engine.task import BASELINE, GRADUATED, write_task

_SCRIPT = Settings(CORES, 0, channels_last=True, fused=True)

TRIALS = (BASELINE, *GRADUATED)

Row = dict[str, Any]


def run_pairs(
    archive: Path, recipe: Recipe, images_per_label: int, seeds: int, rows: Path, say: Say
) -> None:
    """Run what is not yet in the file `rows`: a line for each seed.

    Raises:
        ValueError: The file holds rows of another task.
    """
    task = {
        "archive": archive.name,
        "images_per_label": images_per_label,
        "recipe": recipe.model_dump(mode="json", exclude={"seed"}),
    }
    there = read_rows(rows)
    if any(row["task"] != task for row in there):
        raise ValueError(f"{rows} holds rows of another task; name another folder")
    for seed in sorted(set(range(seeds)) - {row["seed"] for row in there}):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "task"
            seeded = recipe.model_copy(update={"seed": seed})
            write_task(folder, archive, seeded, images_per_label)
            ours, script = engine(folder, TRIALS, CORES), one_process(folder, TRIALS, _SCRIPT)
        row = {"seed": seed, "task": task, "engine": _last(ours), "script": _last(script)}
        with rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(f"seed {seed}: {ours.wall_seconds:.1f} s and {script.wall_seconds:.1f} s")


def read_rows(rows: Path) -> list[Row]:
    """What `run_pairs` has written so far."""
    return [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []


def summarise(rows: list[Row]) -> Row:
    """Mean difference (engine less script) of the last epoch's top-1, with its standard error.

    For each trial, for the mean of the graduated trials of a seed, and for the best of all trials
    of a seed, which is what a search reports. A trial that diverged counts as 0 in both.
    """
    return {
        "seeds": len(rows),
        "mean_of_scales": _compared(rows, lambda top1: mean(top1[name] for name in GRADUATED)),
        "best_of_trials": _compared(rows, lambda top1: max(top1.values())),
        "trials": {name: _compared(rows, itemgetter(name)) for name in TRIALS},
        "diverged": {
            side: sum(value is None for row in rows for value in row[side].values())
            for side in ("engine", "script")
        },
    }


def _compared(rows: list[Row], value: Callable[[dict[str, float]], float]) -> Row:
    sides = {side: [value(_numbers(row[side])) for row in rows] for side in ("engine", "script")}
    differences = [a - b for a, b in zip(sides["engine"], sides["script"], strict=True)]
    error = stdev(differences) / math.sqrt(len(rows)) if len(rows) > 1 else None
    return {
        "engine": mean(sides["engine"]),
        "script": mean(sides["script"]),
        "difference": mean(differences),
        "standard_error": error,
        "largest": max(map(abs, differences)),
    }


def _numbers(top1: dict[str, float | None]) -> dict[str, float]:
    return {name: value or 0.0 for name, value in top1.items()}


def _last(run: Run) -> dict[str, float | None]:
    """The last epoch's top-1 by trial; `None` for one that diverged, in either's way to say so."""
    epochs = max(len(trial["curve"]) for trial in run.trials.values())
    return {
        name: _top1(trial["curve"][-1]) if len(trial["curve"]) == epochs else None
        for name, trial in run.trials.items()
    }


def _top1(epoch: dict[str, float]) -> float | None:
    return epoch["val_top1"] if math.isfinite(epoch["val_loss"]) else None
