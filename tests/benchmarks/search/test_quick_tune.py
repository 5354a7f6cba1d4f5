"""Quick-Tune: what it learns from other tasks' curves, and how it spends by them."""

import numpy as np
import pytest

from lrsearch.search.prior.evidence import logit
from tests.benchmarks.search.curves import Curves
from tests.benchmarks.search.lookup import RECIPE, SCALES, Task
from tests.benchmarks.search.made_up import Watched, a_task
from tests.benchmarks.search.strategies.quick_tune import quick_tune
from tests.probes import a_probe

RISE = 1.0 - 0.7 ** np.arange(1, RECIPE.epochs + 1)


def task_with_best(best: int, number: int = 0, top: float = 0.9) -> Task:
    """A task whose scales fall away from the best one on both sides, from the first epoch on."""
    generator = np.random.default_rng(number)
    ends = top - 0.03 * np.abs(np.array(SCALES) - best)
    curves = ends[:, None] * RISE + generator.normal(0.0, 0.005, (len(SCALES), RECIPE.epochs))
    return a_task(
        curves.round(3).tolist(),
        baseline=0.2,
        task=f"task-{number}",
        domain=("digits", "letters", "emoji")[number // 9 % 3],
        probe=a_probe(linear_top1=0.9 - 0.05 * best),
    )


@pytest.fixture
def others() -> list[Task]:
    """Tasks whose best scale is the higher, the worse a linear classifier is."""
    return [task_with_best(2 + number % 9, number) for number in range(1, 28)]


@pytest.mark.parametrize("ahead", [1, RECIPE.epochs])
@pytest.mark.parametrize("best", [4, 8])
def test_the_only_finetune_is_the_one_that_curves_and_features_of_others_tell(
    best: int, ahead: int, others: list[Task]
) -> None:
    chosen = quick_tune(others, ahead)(task_with_best(best, 100), 1.0, 0)
    assert abs(chosen - best) <= 1


def test_a_larger_budget_finds_what_the_features_do_not_tell(others: list[Task]) -> None:
    told = task_with_best(4, 100).measured.probe
    odd = task_with_best(10, 100)
    task = Watched(Task(odd.measured._replace(probe=told)))
    assert quick_tune(others, ahead=RECIPE.epochs)(task, 2.0, 0) == 10
    begun = [epoch for trial, epoch in task.seen.items() if trial]
    assert 1 < len(begun) < len(SCALES)


def test_what_costs_more_is_put_off(others: list[Task]) -> None:
    for task in others:
        for row in task.measured.rows[8:]:
            row["seconds"] = 50.0
    assert quick_tune(others)(task_with_best(9, 100), 1.0, 0) < 8


def test_curves_expect_of_a_task_what_its_features_and_its_epochs_so_far_tell() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 2))
    level = generator.normal(0.0, 0.5, 60)
    curves = (features[:, 0] + level)[:, None, None] + np.array([[0.0, 1.0], [1.0, 3.0]])
    curves += generator.normal(0.0, 0.01, curves.shape)
    model = Curves.fit(features, curves, [f"domain {number % 4}" for number in range(60)])
    before = model.at(np.array([1.0, 0.0]))
    assert before.mean == pytest.approx([1.0, 2.0, 2.0, 4.0], abs=0.4)
    after = before.given(np.array([0]), np.array([1.5]), np.zeros(1))
    assert after.mean == pytest.approx([1.5, 2.5, 2.5, 4.5], abs=0.15)
    assert after.deviation[0] == pytest.approx(0.0, abs=1e-6)
    assert after.deviation[3] < 0.5 * before.deviation[3]


def test_curves_of_one_domain_are_too_few() -> None:
    values = logit(np.full((3, 2, 4), 5.0), np.full((3, 2, 4), 10.0))[0]
    with pytest.raises(ValueError, match="curves of one domain only, digits; two are needed"):
        Curves.fit(np.zeros((3, 1)), values, ["digits"] * 3)
