"""`python -m tests.benchmarks.search`: all strategies on the table; one JSON object at the end."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from numpy.typing import NDArray

from lrsearch.search.prior.fit import fit_kernel
from lrsearch.search.prior.prior import Prior
from tests.benchmarks.search.lookup import BASELINE, Task, evidence_of
from tests.benchmarks.search.measures import (
    bootstrapped,
    coverage,
    optimism_points,
    worse_than_baseline,
)
from tests.benchmarks.search.plot import write_plot
from tests.benchmarks.search.strategies import (
    FIRST_LOOK,
    Replay,
    best_fixed_scale,
    exhaustive,
    fixed,
    halving,
    one_epoch,
    random,
    recommended,
    sampled,
)
from tests.benchmarks.tasks.table import FOLDER, read_table

BUDGETS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""In finetune-equivalents."""

DRAWS: Final = 20
"""Repetitions of what draws."""

DRAWN: Final = ("random", "tpe", "halving")

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
    tasks = [Task(each) for each in read_table(["graduated"], table)]
    found = {
        name: _replay(tasks, make, DRAWS if name in DRAWN else 1)
        for name, make in _strategies(refit).items()
    }
    reference = np.array([task.audit[exhaustive(task, 0, 0)] for task in tasks])
    figures = {name: _figures(tasks, trials, reference) for name, trials in found.items()}
    write_plot(plot, figures, BUDGETS)
    ours = figures.pop(OURS)
    print(json.dumps({**ours, "first_look_cost": FIRST_LOOK, "strategies": figures}))


Fitted = Callable[[Sequence[Task]], Replay]
"""From the tasks of other domains to a strategy."""


def _strategies(refit: bool) -> dict[str, Fitted]:
    def ours(others: Sequence[Task]) -> Replay:
        evidence = evidence_of(others)
        kernel = fit_kernel(evidence) if refit else Prior.read().kernel
        return recommended(Prior("replay", kernel, evidence))

    return {
        OURS: ours,
        "baseline": lambda others: fixed(BASELINE),
        "fixed": lambda others: fixed(best_fixed_scale(others)),
        "exhaustive": lambda others: exhaustive,
        "random": lambda others: random,
        "tpe": lambda others: sampled("tpe"),
        "one_epoch": lambda others: one_epoch,
        "halving": lambda others: halving,
    }


Trials = dict[float, list[list[int]]]
"""By budget: for each task, the trial that each draw ended with."""


def _replay(tasks: Sequence[Task], make: Fitted, draws: int) -> Trials:
    found: dict[float, dict[int, list[int]]] = {budget: {} for budget in BUDGETS}
    for domain in sorted({task.measured.domain for task in tasks}):
        strategy = make([task for task in tasks if task.measured.domain != domain])
        for number, task in enumerate(tasks):
            if task.measured.domain != domain:
                continue
            for budget in BUDGETS:
                trials = [strategy(task, budget, draw) for draw in range(draws)]
                found[budget][number] = trials
    return {budget: [by_task[i] for i in range(len(tasks))] for budget, by_task in found.items()}


def _figures(
    tasks: Sequence[Task], trials: Trials, reference: NDArray[np.float64]
) -> dict[str, Any]:
    ones = np.ones(len(tasks))
    baseline = np.array([task.audit[BASELINE] for task in tasks])
    best = np.array([task.audit.max() for task in tasks])
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
