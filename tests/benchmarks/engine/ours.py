"""The same trials by lrsearch's engine, in a process of its own.

    python -m tests.benchmarks.engine.ours FOLDER --trials "baseline,scale 1"

Its last line of output is a JSON object: the seconds from decoding the archive to the last
evaluation, memory, and the curve of each trial.
"""

import argparse
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.device import warm_up
from lrsearch_worker.engine.finetune import DivergedError, Finetune
from lrsearch_worker.engine.lockstep import side_by_side
from lrsearch_worker.engine.shares import Shares
from lrsearch_worker.engine.task import LoadedTask
from tests.benchmarks.engine.memory import peak_bytes
from tests.benchmarks.engine.phases import watched
from tests.benchmarks.engine.task import load_task, read_settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", required=True, help="names, separated by commas")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--phases", action="store_true", help="also say where the time goes")
    options = parser.parse_args()
    names = options.trials.split(",")
    settings = read_settings(options.folder)
    recipe = Recipe.model_validate(settings["recipe"])
    rates = [StageRates.model_validate(settings["rates"][name]) for name in names]

    warm_up(torch.device("cpu"))
    idle = peak_bytes()
    watch: AbstractContextManager[Mapping[str, float]] = nullcontext({})
    if options.phases:
        watch = watched()
    with watch as phases:
        started = time.perf_counter()
        task = load_task(options.folder, recipe, settings["images_per_label"])
        loaded = time.perf_counter()
        curves = run_trials(task, rates, options.threads)
        ended = time.perf_counter()
    trials = [{"curve": [epoch.model_dump() for epoch in curve]} for curve in curves]
    result: dict[str, Any] = {
        "seconds": ended - started,
        "decode_seconds": loaded - started,
        "idle_bytes": idle,
        "peak_bytes": peak_bytes(),
        "phases": phases,
        "trials": dict(zip(names, trials, strict=True)),
    }
    print(json.dumps(result))


def run_trials(
    task: LoadedTask, rates: Sequence[StageRates], threads: int
) -> list[list[EpochMetrics]]:
    """Finetune at each of `rates`, side by side; the curves, which end where a trial diverges."""
    torch.set_num_threads(1)
    shares = Shares(len(rates))
    runs = [_steps(task, each, shares.clock(i)) for i, each in enumerate(rates)]
    curves = dict(side_by_side(runs, threads, shares))
    return [curves[i] for i in range(len(rates))]


def _steps(
    task: LoadedTask, rates: StageRates, clock: Callable[[], float]
) -> Generator[None, None, list[EpochMetrics]]:
    curve = []
    try:
        for metrics in Finetune(task, rates, clock=clock).steps():
            if metrics is not None:
                curve.append(metrics)
            yield
    except DivergedError:
        pass
    return curve


if __name__ == "__main__":
    main()
