"""All the runs of the benchmark, in turns, and the object that it prints."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Final

import torch

from lrsearch.contract.recipes import Recipe
from lrsearch_worker.device import describe, versions
from tests.benchmarks.engine import figures
from tests.benchmarks.engine.figures import Figures, Runs
from tests.benchmarks.engine.floor import count_work, measure_rate
from tests.benchmarks.engine.runs import CORES, Run, Settings, engine, one_process, processes
from tests.benchmarks.engine.search import Say, best_settings
from tests.benchmarks.engine.task import (
    BASELINE,
    GRADUATED,
    SHARED_PREFIX,
    load_task,
    trial_rates,
)

_QUICK: Final = Settings(1, 0, channels_last=True, fused=True)


class Part(StrEnum):
    """What is measured."""

    GRADUATED = "graduated"
    """12 trials, three ways; memory, curves and floor."""
    SHARED_PREFIX = "shared-prefix"
    """11 trials with conv1 … conv4 frozen, by the engine and by the script in one process."""
    HEAD_ONLY = "head-only"
    """The baseline alone."""


@dataclass(frozen=True)
class Plan:
    """What to measure, on a task that has been laid out."""

    folder: Path
    recipe: Recipe
    images_per_label: int
    rounds: int
    parts: frozenset[Part]
    quick: bool
    """Two trials on one core, no search for the script's settings: tells whether all works."""

    @property
    def cores(self) -> int:
        """How many may be used."""
        return 1 if self.quick else CORES

    @property
    def graduated(self) -> tuple[str, ...]:
        """Names of the baseline and the graduated trials."""
        return (BASELINE, *(GRADUATED[2:3] if self.quick else GRADUATED))

    @property
    def shared_prefix(self) -> tuple[str, ...]:
        """Names of the trials with conv1 … conv4 frozen."""
        return SHARED_PREFIX[2:3] if self.quick else SHARED_PREFIX


def measure(plan: Plan, rows: Path, say: Say) -> Figures:
    """Run everything; each run is a line of the file `rows` as soon as it is over."""
    task = load_task(plan.folder, plan.recipe, plan.images_per_label)
    images = task.size("train") * plan.recipe.epochs
    rates = [measure_rate(task, plan.cores)]
    apart = together = _QUICK
    if not plan.quick:
        apart, together = best_settings(plan.folder, plan.recipe.epochs, say)

    def ours(trials: Sequence[str], *options: str) -> Run:
        return engine(plan.folder, trials, plan.cores, *options)

    def take(what: str, run: Callable[[], Run], into: list[Run]) -> None:
        done = run()
        into.append(done)
        with rows.open("a") as file:
            row = {"what": what, "round": len(into), **done._asdict()}
            file.write(json.dumps(row) + "\n")
        say(f"{what}, round {len(into)}: {done.wall_seconds:.1f} s")

    def in_turns(part: Part, trials: Sequence[str], *, with_processes: bool = False) -> Runs:
        runs = Runs([], [], [])
        for _ in range(plan.rounds if part in plan.parts else 0):
            take(f"{part}: engine", lambda: ours(trials), runs.engine)
            if with_processes:
                take(
                    f"{part}: processes",
                    lambda: processes(plan.folder, trials, apart),
                    runs.processes,
                )
            take(
                f"{part}: one process",
                lambda: one_process(plan.folder, trials, together),
                runs.one_process,
            )
        return runs

    graduated = in_turns(Part.GRADUATED, plan.graduated, with_processes=True)
    shared = in_turns(Part.SHARED_PREFIX, plan.shared_prefix)
    head = in_turns(Part.HEAD_ONLY, [BASELINE])
    found: Figures = {}
    if graduated.engine:
        once: list[Run] = []
        take("one trial: engine", lambda: ours(plan.graduated[-1:]), once)
        take("watched: engine", lambda: ours(plan.graduated, "--phases"), once)
        rates.append(measure_rate(task, plan.cores))
        alone, watched = once
        chosen = [trial_rates()[name] for name in plan.graduated]
        work, bare = (count_work(task, chosen, padding=padding) for padding in (True, False))
        found["graduated"] = figures.speed(graduated, images * len(chosen))
        found["memory"] = figures.memory(graduated.engine, alone)
        found["curves"] = figures.curves(graduated.engine[0], graduated.one_process[0])
        seconds = found["graduated"]["seconds"]["engine"]
        found["floor"] = figures.floor(work, bare, rates, seconds)
        found["where_time_goes"] = figures.where_time_goes(
            watched, plan.cores, graduated.one_process[0], work, max(rates).per_second
        )
        plain = figures.one_plain_seconds(graduated.one_process)
        found["one_finetune_of_one_process_seconds"] = plain
        found["exhaustive_vs_one_plain"] = seconds / plain
    if shared.engine:
        found["shared_prefix"] = figures.speed(shared, images * len(plan.shared_prefix))
    if head.engine:
        found["head_only"] = figures.speed(head, images)
    return _headline(found) | found | _circumstances(plan, apart, together)


def _headline(found: Figures) -> Figures:
    """The figures that the goals are about; `None` for parts that were not measured."""

    def at(*path: str) -> float | None:
        value: Figures | None = found
        for key in path:
            value = value.get(key) if value is not None else None
        return value  # type: ignore[return-value]

    return {
        "speedup_vs_processes": at("graduated", "speedup", "processes"),
        "speedup_vs_one_process": at("graduated", "speedup", "one_process"),
        "exhaustive_vs_one_plain": at("exhaustive_vs_one_plain"),
        "shared_prefix_speedup": at("shared_prefix", "speedup", "one_process"),
        "head_only_speedup": at("head_only", "speedup", "one_process"),
        "peak_memory_ratio": at("memory", "ratio_above_idle"),
        "val_top1_max_abs_diff": at("curves", "val_top1_max_abs_diff"),
        "engine_over_floor": at("floor", "engine_over_floor"),
    }


def _circumstances(plan: Plan, apart: Settings, together: Settings) -> Figures:
    recipe = plan.recipe
    return {
        "task": {
            "images_per_label": plan.images_per_label,
            "input_size": recipe.input_size,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "trials": list(plan.graduated),
        },
        "settings": {
            "engine_threads": plan.cores,
            "processes": apart._asdict(),
            "one_process": together._asdict(),
        },
        "device": describe(torch.device("cpu")).model_dump() | {"cores": CORES},
        "versions": versions() | {"torchvision": version("torchvision")},
    }
