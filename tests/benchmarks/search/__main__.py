"""`python -m tests.benchmarks.search`: all strategies on the table; one JSON object at the end."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import typer

from lrsearch.search.prior.prior import Prior
from tests.benchmarks.search.fitted import fitted_prior
from tests.benchmarks.search.lookup import (
    BASELINE,
    GRADUATED,
    JOINT,
    RECIPE,
    SEEDS,
    Task,
    evidence_of,
)
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

LAYERS: Final = (GRADUATED, JOINT, "discriminative", "auto_rgn")
"""What the strategies choose from. Tasks that hold the first two are judged on; a strategy that
chooses from another one is judged on those of them that hold it."""

BUDGETS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""In finetune-equivalents."""

DRAWS: Final = 20
"""Repetitions of what draws."""

OURS: Final = "recommend"

SHOWN: Final = ("tasks", "regret_points_1", "regret_points_1_5", "regret_points_3")
"""Figures that are shown on the way."""


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
    repeats = [Task(each) for each in read_table((SEEDS,), table)]
    figures = {}
    for name, entry in strategies(repeats if refit else None).items():
        held = [task for task in tasks if task.of(JOINT) and task.of(entry.layer)]
        figures[name] = _figures(held, _replay(held, tasks, entry))
        print(name, {key: figures[name][key] for key in SHOWN}, file=sys.stderr, flush=True)
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


def strategies(repeats: Sequence[Task] | None) -> dict[str, Entry]:
    """By name.

    Args:
        repeats: What our prior is fitted to besides the other tasks: the same with other seeds.
            None: the kernel is the shipped one.
    """

    priors: dict[tuple[str, ...], Prior] = {}

    def prior_of(others: Sequence[Task]) -> Prior:
        names = tuple(task.name for task in others)
        if names not in priors:
            priors[names] = (
                Prior("replay", Prior.read().kernel, evidence_of(others))
                if repeats is None
                else fitted_prior("replay", others, repeats)
            )
        return priors[names]

    def ours(*layers: str) -> Entry:
        return Entry(lambda others: recommended(prior_of(others), layers))

    def best_of(layer: str) -> Entry:
        def fitted(others: Sequence[Task]) -> Replay:
            return best_on_average([task for task in others if task.of(layer)], layer)

        return Entry(fitted, layer)

    def untaught(replay: Replay, draws: int = 1) -> Entry:
        return Entry(lambda others: replay, draws=draws)

    return {
        OURS: ours(GRADUATED, JOINT),
        "recommend_graduated": ours(GRADUATED),
        "baseline": untaught(fixed(BASELINE)),
        "fixed": best_of(GRADUATED),
        "fixed_joint": best_of(JOINT),
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


def _replay(tasks: Sequence[Task], known: Sequence[Task], entry: Entry) -> Trials:
    found: dict[float, dict[int, list[int]]] = {budget: {} for budget in BUDGETS}
    for domain in sorted({task.measured.domain for task in tasks}):
        strategy = entry.fitted([task for task in known if task.measured.domain != domain])
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
