"""`python -m tests.benchmarks.search`: all strategies on the table; one JSON object at the end."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer

from lrsearch.search.prior.fit import fit_kernel
from lrsearch.search.prior.prior import Prior
from tests.benchmarks.search.lookup import BASELINE, GRADUATED, RECIPE, Task, evidence_of
from tests.benchmarks.search.measures import (
    bootstrapped,
    coverage,
    optimism_points,
    worse_than_baseline,
)
from tests.benchmarks.search.plot import write_plot
from tests.benchmarks.search.strategies.early import halving, one_epoch
from tests.benchmarks.search.strategies.fixed import best_on_average, fixed
from tests.benchmarks.search.strategies.hyperband import asha, hyperband
from tests.benchmarks.search.strategies.quick_tune import quick_tune
from tests.benchmarks.search.strategies.recommended import recommended
from tests.benchmarks.search.strategies.replay import FIRST_LOOK, Replay
from tests.benchmarks.search.strategies.whole import exhaustive, random, sampled
from tests.benchmarks.tasks.table import FOLDER, read_table

LAYERS: Final = (GRADUATED, "discriminative", "auto_rgn")
"""What the strategies choose from. All tasks hold the first; a strategy that chooses from another
one is judged on the tasks that hold it."""

BUDGETS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""In finetune-equivalents."""

DRAWS: Final = 20
"""Repetitions of what draws."""

OURS: Final = "recommend"


def main(
    table: Annotated[Path, typer.Option(help="Folder of the table.")] = FOLDER,
    refit: Annotated[
        bool, typer.Option(help="Fit the kernel anew for each domain that is left out.")
    ] = True,
    plot: Annotated[
        Path, typer.Option(help="Where the figure goes: regret against finetune-equivalents.")
    ] = Path("out/search/regret.html"),
) -> None:
    """Replay every strategy; what is fitted is fitted without the domain that it is judged on."""
    tasks = [Task(each) for each in read_table(LAYERS, table)]
    figures = {}
    for name, entry in strategies(refit).items():
        held = [task for task in tasks if task.of(entry.layer)]
        figures[name] = _figures(held, _replay(held, entry))
    write_plot(plot, figures, BUDGETS)
    ours = figures.pop(OURS)
    print(json.dumps({**ours, "first_look_cost": FIRST_LOOK, "strategies": figures}))


class Entry(NamedTuple):
    """A strategy to be replayed."""

    fitted: Callable[[Sequence[Task]], Replay]
    """From the tasks of other domains to the strategy."""
    layer: str = GRADUATED
    """What it chooses from."""
    draws: int = 1


def strategies(refit: bool) -> dict[str, Entry]:
    """By name; with `refit` our kernel is fitted to the other tasks, else it is the shipped one."""

    def ours(others: Sequence[Task]) -> Replay:
        evidence = evidence_of(others)
        kernel = fit_kernel(evidence) if refit else Prior.read().kernel
        return recommended(Prior("replay", kernel, evidence))

    def best_of(layer: str) -> Entry:
        return Entry(lambda others: best_on_average(others, layer), layer)

    def untaught(replay: Replay, draws: int = 1) -> Entry:
        return Entry(lambda others: replay, draws=draws)

    return {
        OURS: Entry(ours),
        "baseline": untaught(fixed(BASELINE)),
        "fixed": best_of(GRADUATED),
        "discriminative": best_of("discriminative"),
        "auto_rgn": best_of("auto_rgn"),
        "exhaustive": untaught(exhaustive),
        "random": untaught(random, DRAWS),
        "tpe": Entry(lambda others: sampled("tpe"), draws=DRAWS),
        "gp": Entry(lambda others: sampled("gp"), draws=DRAWS),
        "one_epoch": untaught(one_epoch),
        "halving": untaught(halving, DRAWS),
        "hyperband": untaught(hyperband, DRAWS),
        "asha": untaught(asha, DRAWS),
        "quick_tune": Entry(quick_tune),
        "quick_tune_far": Entry(lambda others: quick_tune(others, ahead=RECIPE.epochs)),
    }


Trials = dict[float, list[list[int]]]
"""By budget: for each task, the trial that each draw ended with."""


def _replay(tasks: Sequence[Task], entry: Entry) -> Trials:
    found: dict[float, dict[int, list[int]]] = {budget: {} for budget in BUDGETS}
    for domain in sorted({task.measured.domain for task in tasks}):
        strategy = entry.fitted([task for task in tasks if task.measured.domain != domain])
        for number, task in enumerate(tasks):
            if task.measured.domain != domain:
                continue
            for budget in BUDGETS:
                trials = [strategy(task, budget, draw) for draw in range(entry.draws)]
                found[budget][number] = trials
    return {budget: [by_task[i] for i in range(len(tasks))] for budget, by_task in found.items()}


def _figures(tasks: Sequence[Task], trials: Trials) -> dict[str, Any]:
    ones = np.ones(len(tasks))
    reference = np.array([task.audit[exhaustive(task, 0, 0)] for task in tasks])
    baseline = np.array([task.audit[BASELINE] for task in tasks])
    best = np.array([task.audit[[BASELINE, *task.of(GRADUATED)]].max() for task in tasks])
    figures: dict[str, Any] = {"tasks": len(tasks)}
    for budget in BUDGETS:
        name = f"{budget:g}".replace(".", "_")
        reached = np.array(
            [task.audit[t].mean() for task, t in zip(tasks, trials[budget], strict=True)]
        )
        for key, top, bottom in (
            ("gain_captured", reached - baseline, reference - baseline),
            ("regret_points", 100.0 * (reference - reached), ones),
            ("loss_to_oracle_points", 100.0 * (best - reached), ones),
        ):
            estimate = bootstrapped(tasks, top, bottom)
            figures[f"{key}_{name}"] = round(estimate.mean, 3)
            figures[f"{key}_{name}_95"] = [round(estimate.low, 3), round(estimate.high, 3)]
    firsts = [each[0] for each in trials[BUDGETS[0]]]
    optimism = [optimism_points(t, trial) for t, trial in zip(tasks, firsts, strict=True)]
    harmed = [
        worse_than_baseline(task, trial)
        for task, each in zip(tasks, trials[BUDGETS[0]], strict=True)
        for trial in each
    ]
    figures["worse_than_baseline_share"] = round(float(np.mean(harmed)), 3)
    figures["optimism_points"] = round(float(np.mean([x for x in optimism if x is not None])), 3)
    figures["coverage_95"] = coverage(tasks, firsts)
    return figures


if __name__ == "__main__":
    typer.run(main)
