"""Every strategy chooses by what it has paid for, and by nothing that users do not have."""

import numpy as np
import pytest

from tests.benchmarks.search.__main__ import BUDGETS, LAYERS, strategies
from tests.benchmarks.search.lookup import BASELINE, RECIPE, SCALES, Task
from tests.benchmarks.search.made_up import Watched, a_task
from tests.probes import a_probe

WITHOUT_BUDGET = ("exhaustive", "one_epoch")
"""Cost what they cost: 11, and 1.5 finetunes."""

STRATEGIES = strategies(repeats=None)


@pytest.fixture(scope="module")
def others() -> list[Task]:
    return [drawn(number) for number in range(1, 9)]


def drawn(number: int) -> Task:
    """A task on which no two scales are the same."""
    generator = np.random.default_rng(number)
    ends = generator.uniform(0.4, 0.9, len(SCALES))
    rise = 1.0 - 0.8 ** np.arange(1, RECIPE.epochs + 1)
    noise = generator.normal(0.0, 0.02, (len(SCALES), RECIPE.epochs))
    curves = np.clip(ends[:, None] * rise + noise, 0.0, 1.0).round(3)
    return a_task(
        curves.tolist(),
        more={layer: generator.uniform(0.4, 0.9, 3).round(3).tolist() for layer in LAYERS[1:]},
        task=f"task-{number}",
        domain=("digits", "letters", "emoji")[number % 3],
        probe=a_probe(linear_top1=round(float(generator.uniform(0.4, 0.9)), 3)),
    )


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in WITHOUT_BUDGET])
def test_a_strategy_looks_at_no_more_epochs_than_its_budget_pays_for(
    name: str, budget: float, others: list[Task]
) -> None:
    task = Watched(drawn(0))
    chosen = STRATEGIES[name].fitted(others)(task, budget, 0)
    paid = {trial: epoch for trial, epoch in task.seen.items() if trial != BASELINE}
    if chosen != BASELINE:
        paid[chosen] = RECIPE.epochs
    assert sum(paid.values()) <= budget * RECIPE.epochs


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_strategy_sees_test_or_audit_images_of_its_task(name: str, others: list[Task]) -> None:
    chosen = STRATEGIES[name].fitted(others)(Watched(drawn(0)), 3.0, 0)
    assert 0 <= chosen < len(drawn(0).rates)
