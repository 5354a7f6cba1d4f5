"""All the runs of the benchmark, in turns, and the object that it prints."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from lrsearch.contract.recipes import Recipe
from lrsearch_worker.device import describe, versions
from tests.benchmarks.engine import figures
from tests.benchmarks.engine.figures import Figures, Runs
from tests.benchmarks.engine.floor import count_work, measure_rate
from tests.benchmarks.engine.runs import (
    CORES,
    WATCH,
    Run,
    Settings,
    engine,
    one_process,
    processes,
)
from tests.benchmarks.engine.search import Say, best_settings
from tests.benchmarks.engine.task import (
    BASELINE,
    GRADUATED,
    SHARED_PREFIX,
    load_task,
    trial_rates,
)

_DISTURBED: Final = 0.05
"""Share of the cores that others may keep busy; a step of two threads waits for the slower one."""
_TRIES: Final = 3

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
    turns = _Turns(plan, apart, together, rows, say)

    found: Figures = {}
    scripts: list[Run] = []
    if Part.GRADUATED in plan.parts:
        rounds = turns.take(Part.GRADUATED, plan.graduated, ("engine", "processes", "one_process"))
        scripts = rounds.one_process
        alone = turns.engine("one trial", plan.graduated[-1:])
        watched = rounds.engine[0] if plan.quick else turns.engine("watched", plan.graduated, WATCH)
        rates.append(measure_rate(task, plan.cores))
        best = max(rates).per_second
        chosen = [trial_rates()[name] for name in plan.graduated]
        work, bare = (count_work(task, chosen, padding=padding) for padding in (True, False))
        found["graduated"] = figures.speed(rounds, images * len(chosen))
        seconds = found["graduated"]["seconds"]["engine"]
        found |= figures.exhaustive(seconds, scripts)
        found["memory"] = figures.memory(rounds.engine, alone)
        found["curves"] = figures.curves(rounds.engine[0], scripts[0])
        found["floor"] = figures.floor(work, bare, rates, seconds)
        found["where_time_goes"] = {
            "engine": figures.engine_phases(watched, plan.cores),
            "one_process": figures.script_phases(scripts[0]),
            "floor": {phase: done / best for phase, done in work._asdict().items()},
        }
    if Part.SHARED_PREFIX in plan.parts:
        rounds = turns.take(Part.SHARED_PREFIX, plan.shared_prefix, ("engine", "one_process"))
        found["shared_prefix"] = figures.speed(rounds, images * len(plan.shared_prefix))
    if Part.HEAD_ONLY in plan.parts:
        script = Part.GRADUATED not in plan.parts  # else its baselines have been timed there
        ways = ("engine", "one_process") if script else ("engine",)
        heads = turns.take(Part.HEAD_ONLY, [BASELINE], ways)
        found["head_only"] = figures.head_only(heads.engine, heads.one_process or scripts)
    return _headline(found) | found | _circumstances(plan, apart, together)


class _Turns:
    """Runs by engine and script in turns, so that what changes on the machine meets both."""

    def __init__(
        self, plan: Plan, apart: Settings, together: Settings, rows: Path, say: Say
    ) -> None:
        self._plan = plan
        self._apart = apart
        self._together = together
        self._rows = rows
        self._say = say

    def take(self, part: Part, trials: Sequence[str], ways: Sequence[str]) -> Runs:
        """All rounds of a part."""
        rounds = Runs([], [], [])
        for number in range(1, self._plan.rounds + 1):
            for way in ways:
                what = f"{part}, round {number}"
                getattr(rounds, way).append(getattr(self, way)(what, trials))
        return rounds

    def engine(self, what: str, trials: Sequence[str], *options: str) -> Run:
        """The trials by the engine."""
        if self._plan.quick:
            options = (*options, WATCH)
        folder, cores = self._plan.folder, self._plan.cores
        return self._run(f"{what}: engine", lambda: engine(folder, trials, cores, *options))

    def processes(self, what: str, trials: Sequence[str]) -> Run:
        """The trials by the script, each in a process of its own."""
        folder, settings = self._plan.folder, self._apart
        return self._run(f"{what}: processes", lambda: processes(folder, trials, settings))

    def one_process(self, what: str, trials: Sequence[str]) -> Run:
        """The trials by the script, in one process."""
        folder, settings = self._plan.folder, self._together
        return self._run(f"{what}: one process", lambda: one_process(folder, trials, settings))

    def _run(self, what: str, run: Callable[[], Run]) -> Run:
        """The least disturbed of a few tries, of which one is enough on a machine of one's own."""
        tries: list[Run] = []
        while not tries or (
            tries[-1].others_share > _DISTURBED and len(tries) < _TRIES and not self._plan.quick
        ):
            done = run()
            tries.append(done)
            with self._rows.open("a") as file:
                file.write(json.dumps({"what": what, **done._asdict()}) + "\n")
            busy = f"others kept {done.others_share:.0%} of the cores busy"
            self._say(f"{what}: {done.wall_seconds:.1f} s ({busy})")
        return min(tries, key=lambda tried: tried.others_share)


def _headline(found: Figures) -> Figures:
    """The figures that the goals are about; `None` for parts that were not measured."""

    def at(*path: str) -> float | None:
        value: Any = found
        for key in path:
            value = None if value is None else value.get(key)
        return None if value is None else float(value)

    return {
        "speedup_vs_processes": at("graduated", "speedup", "processes"),
        "speedup_vs_one_process": at("graduated", "speedup", "one_process"),
        "exhaustive_vs_one_plain": found.get("exhaustive_vs_one_plain"),
        "shared_prefix_speedup": at("shared_prefix", "speedup", "one_process"),
        "head_only_speedup": at("head_only", "speedup", "from_images"),
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
