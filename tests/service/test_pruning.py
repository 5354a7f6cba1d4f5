"""Which trials are stopped early."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.contract.jobs import Pruning
from lrsearch.search.pruning import should_prune

GOOD = [[0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8]] * 4

curves = st.lists(st.floats(0.0, 1.0), max_size=9)


@pytest.mark.parametrize(
    ("curve", "others", "pruned"),
    [
        ([0.5, 0.6, 0.69], GOOD, True),
        ([0.5, 0.6, 0.70], GOOD, False),  # the median itself
        ([0.9, 0.1, 0.1], GOOD, False),  # its best epoch counts
        ([0.1], GOOD, True),  # of nine epochs one is the warm-up
        ([0.5, 0.6, 0.69], GOOD[:3], False),  # too few to compare with
        ([0.5, 0.6, 0.69], [*GOOD[:3], [0.5, 0.6]], False),  # one is not so far yet
        ([0.1] * 9, GOOD, False),  # it has ended
        ([], GOOD, False),
    ],
)
def test_the_median_rule(curve: list[float], others: list[list[float]], pruned: bool) -> None:
    reason = should_prune("median", curve, others, epochs=9)
    assert (reason is not None) == pruned
    assert not pruned or "below the median" in str(reason)


def test_the_median_rule_lets_a_fifth_of_the_epochs_pass_first() -> None:
    rivals = [[0.9] * 20] * 4
    assert [should_prune("median", [0.1] * n, rivals, 20) is None for n in (3, 4)] == [True, False]


@pytest.mark.parametrize(
    ("curve", "others", "pruned"),
    [
        ([0.1, 0.1, 0.5], [[0.6] * 3, [0.7] * 3], True),  # the best of three goes on
        ([0.1, 0.1, 0.8], [[0.6] * 3, [0.7] * 3], False),
        ([0.1, 0.1, 0.65], [[0.1 * i] * 3 for i in range(8)], False),  # the second of nine
        ([0.1, 0.1, 0.25], [[0.1 * i] * 3 for i in range(8)], True),
        ([0.1, 0.1, 0.5], [[0.6] * 3], False),  # with two, the third of them is none
        ([0.1, 0.1, 0.1, 0.1], [[0.9] * 9] * 8, False),  # between the rungs 3 and 9
        ([0.1], [[0.9] * 9] * 8, True),  # the first rung
    ],
)
def test_successive_halving(curve: list[float], others: list[list[float]], pruned: bool) -> None:
    reason = should_prune("halving", curve, others, epochs=9)
    assert (reason is not None) == pruned
    assert not pruned or "were better at epoch" in str(reason)


def test_without_a_rule_nothing_is_pruned() -> None:
    assert should_prune("none", [0.0], [[1.0]] * 10, epochs=9) is None


@given(curve=curves, others=st.lists(curves, max_size=12))
@pytest.mark.parametrize("pruning", ["median", "halving"])
def test_the_best_trial_is_never_pruned(
    pruning: Pruning, curve: list[float], others: list[list[float]]
) -> None:
    best = [max([0.0, *(c[i] for c in [curve, *others] if len(c) > i)]) for i in range(len(curve))]
    assert should_prune(pruning, best, others, epochs=9) is None
