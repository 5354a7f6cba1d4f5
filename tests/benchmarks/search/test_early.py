"""Strategies that stop finetunes early: what they pay, and what they end with."""

import pytest

from tests.benchmarks.search.lookup import BASELINE, PAPER
from tests.benchmarks.search.made_up import MIDDLING, Curve, Watched, a_task
from tests.benchmarks.search.strategies.early import halving, one_epoch
from tests.benchmarks.search.strategies.hyperband import (
    asha,
    brackets,
    hyperband,
    promotion,
    rungs,
)
from tests.benchmarks.search.strategies.runs import Runs

RISING = [place / 100 for place in range(50, 63)]
"""The later a scale, the better, after every epoch."""


def epochs_of(task: Watched) -> list[int]:
    """How far each finetune went, the farthest first."""
    return sorted((epoch for trial, epoch in task.seen.items() if trial), reverse=True)


def test_one_epoch_ends_with_the_best_after_it_for_11_and_19_epochs() -> None:
    curves: list[Curve] = [0.5, [0.6] + [0.3] * 19, *MIDDLING[2:]]
    task = Watched(a_task(curves))
    assert one_epoch(task, 1.5, 0) == 2
    assert epochs_of(task) == [1] * 11


@pytest.mark.parametrize(
    ("budget", "epochs"),
    [
        (1.0, [20]),
        (1.5, [20, 5, 2, 2]),  # 29 of 30; five scales would cost 39
        (2.0, [20, 10, 5, 2, 2]),
        (4.0, [20, 20, 10, 5, 5, 5, 2, 2, 2, 2, 2]),  # 75 of 80
    ],
)
def test_halving_begins_as_many_scales_as_the_budget_brings_to_an_end(
    budget: float, epochs: list[int]
) -> None:
    task = Watched(a_task(RISING))
    chosen = halving(task, budget, draw=3)
    assert chosen == max(task.seen)  # the order never changes, so the best one goes through
    assert epochs_of(task) == epochs


def test_hyperbands_brackets_are_those_of_its_paper() -> None:
    assert brackets(81) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert brackets(20) == [[(9, 2), (3, 7), (1, 20)], [(5, 7), (1, 20)], [(3, 20)]]


def test_hyperbands_first_bracket_goes_through_where_the_budget_pays_for_it() -> None:
    task = Watched(a_task(RISING))
    chosen = hyperband(task, 2.3, draw=0)  # 9 × 2 + 3 × 5 + 13 = 46 epochs
    assert chosen == max(task.seen)
    assert epochs_of(task) == [20, 7, 7, *[2] * 6]


def test_hyperband_begins_no_more_than_lets_it_finish_one() -> None:
    once, more = Watched(a_task(RISING)), Watched(a_task(RISING))
    hyperband(once, 1.0, draw=0)
    assert epochs_of(once) == [20]
    chosen = hyperband(more, 1.5, draw=0)  # 6 × 2 + 18 = 30 epochs
    assert epochs_of(more) == [20, 2, 2, 2, 2, 2]
    assert chosen == max(more.seen)


def test_ashas_rungs_are_powers_of_three_and_the_last_epoch() -> None:
    assert rungs(20) == [1, 3, 9, 20]
    assert rungs(27) == [1, 3, 9, 27]


def test_asha_promotes_the_best_third_of_the_highest_rung_that_has_one() -> None:
    task = a_task(RISING)
    ladder = rungs(20)
    assert promotion({}, task, ladder) is None
    assert promotion({1: 1, 2: 1}, task, ladder) is None
    assert promotion({1: 1, 2: 1, 3: 1}, task, ladder) == (3, 3)
    assert promotion({1: 1, 2: 1, 3: 3}, task, ladder) is None  # the third one has gone on
    assert promotion({1: 1, 2: 1, 3: 3, 4: 1, 5: 1, 6: 1}, task, ladder) == (6, 3)
    three = {1: 3, 2: 3, 3: 3} | dict.fromkeys(range(4, 10), 1)
    assert promotion(three, task, ladder) == (3, 9)


def test_asha_with_all_scales_begun_sends_each_rungs_best_on_and_finishes_the_leader() -> None:
    task = Watched(a_task(RISING))
    assert asha(task, 6.0, draw=0) == PAPER[-1]
    assert len(epochs_of(task)) == len(PAPER)
    assert epochs_of(task)[0] == 20
    assert set(epochs_of(task)) <= {1, 3, 9, 20}


def test_the_baseline_is_delivered_where_it_is_better_than_all_that_was_finished() -> None:
    for strategy in (halving, hyperband, asha):
        assert strategy(a_task(baseline=0.6), 2.0, 0) == BASELINE


def test_runs_pay_for_each_epoch_once_and_keep_enough_to_finish_the_leader() -> None:
    runs = Runs(a_task(RISING), 1.5)  # 30 epochs
    assert runs.run(1, 5)  # 25 left, 15 of which are the leader's
    assert runs.run(1, 5)
    assert not runs.run(2, 11)
    assert runs.run(2, 5)  # 20 left: either one can be finished
    assert runs.epochs == {1: 5, 2: 5}
    assert runs.deliver() == 2
    assert runs.epochs == {1: 5, 2: 20}


def test_runs_end_with_the_best_that_was_finished_once_there_is_one() -> None:
    runs = Runs(a_task(RISING), 1.5)
    assert runs.run(1, 20)
    assert runs.run(2, 10)  # leads, but cannot be finished
    assert not runs.run(3, 1)
    assert runs.deliver() == 1
    assert runs.deliver(BASELINE) == 1
