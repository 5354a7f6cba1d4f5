"""Budgets: reserved when a trial begins, so that they are never overshot."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrsearch.contract.budgets import Budget
from lrsearch.search.budget import SAFETY, Allowance, Use, allowance

UNUSED = Use(trials=0, epochs=0, seconds=0.0, seconds_reserved=0.0, best_val_top1=None, running=0)


def _use(**changes: float | int) -> Use:
    return Use(**{**UNUSED.__dict__, **changes})


def test_without_a_budget_there_is_always_one_more() -> None:
    assert allowance(Budget(), _use(trials=10_000, epochs=10**9), 20, 5.0) == Allowance(True, True)


@pytest.mark.parametrize(("trials", "now"), [(4, True), (5, False)])
def test_the_budget_of_trials(trials: int, now: bool) -> None:
    allowed = allowance(Budget(trials=5), _use(trials=trials, running=2), 20, None)
    assert allowed.now == allowed.later == now


@pytest.mark.parametrize(
    ("spent", "running", "now", "later"),
    [(80, 0, True, True), (81, 0, False, False), (81, 1, False, True)],
)
def test_the_budget_of_epochs_may_get_some_back_from_running_trials(
    spent: int, running: int, now: bool, later: bool
) -> None:
    allowed = allowance(Budget(epochs=100), _use(epochs=spent, running=running), 20, None)
    assert (allowed.now, allowed.later) == (now, later)


def test_the_first_trial_may_take_all_the_seconds() -> None:
    assert allowance(Budget(seconds=60.0), UNUSED, 20, None).seconds_limit == 60.0


def test_later_trials_may_take_somewhat_more_than_the_longest_so_far() -> None:
    allowed = allowance(Budget(seconds=600.0), _use(seconds=50.0), 20, longest_seconds=20.0)
    assert allowed.seconds_limit == SAFETY * 20.0


def test_the_last_trial_gets_what_is_left_if_that_is_worth_it() -> None:
    budget, longest = Budget(seconds=100.0), 20.0
    use = _use(seconds=60.0, seconds_reserved=25.0, running=1)
    assert allowance(budget, use, 20, longest).seconds_limit == 15.0
    use = _use(seconds=60.0, seconds_reserved=35.0, running=1)
    allowed = allowance(budget, use, 20, longest)
    assert (allowed.now, allowed.later) == (False, True)


@pytest.mark.parametrize(("best", "now"), [(None, True), (0.79, True), (0.8, False), (0.9, False)])
def test_the_target_accuracy_ends_the_search(best: float | None, now: bool) -> None:
    use = Use(**{**UNUSED.__dict__, "best_val_top1": best, "running": 3})
    allowed = allowance(Budget(target_accuracy=0.8), use, 20, None)
    assert allowed.now == allowed.later == now


@dataclass
class Simulation:
    """A job whose workers claim and report in any order."""

    budget: Budget
    epochs: int
    trials_begun: int = 0
    epochs_spent: int = 0
    seconds_spent: float = 0.0
    running: list[float | None] = field(default_factory=list)
    longest: float | None = None

    def claim(self) -> bool:
        """Begin a trial, if the budget allows one."""
        reserved = sum(limit for limit in self.running if limit is not None)
        use = Use(
            self.trials_begun,
            self.epochs_spent,
            self.seconds_spent,
            reserved,
            None,
            len(self.running),
        )
        allowed = allowance(self.budget, use, self.epochs, self.longest)
        if allowed.now:
            self.running.append(allowed.seconds_limit)
            self.trials_begun += 1
            self.epochs_spent += self.epochs
        return allowed.now

    def report(self, which: int, ran: int, seconds: float) -> None:
        """End a trial after `ran` epochs; `seconds` as far as it may take them."""
        limit = self.running.pop(which % len(self.running))
        ran = min(ran, self.epochs)
        self.epochs_spent += ran - self.epochs
        taken = seconds if limit is None else min(seconds, limit)
        self.seconds_spent += taken
        if ran == self.epochs:
            self.longest = max(taken, self.longest or 0.0)


steps = st.one_of(
    st.none(),  # a claim
    st.tuples(st.integers(0, 9), st.integers(0, 10), st.floats(0.0, 50.0)),  # a report
)


@given(
    budget=st.builds(
        Budget,
        trials=st.none() | st.integers(1, 20),
        epochs=st.none() | st.integers(10, 150),
        seconds=st.none() | st.floats(1.0, 500.0),
    ),
    epochs=st.integers(1, 10),
    steps=st.lists(steps, max_size=80),
)
def test_no_order_of_claims_and_reports_overshoots_a_budget(
    budget: Budget, epochs: int, steps: list[tuple[int, int, float] | None]
) -> None:
    job = Simulation(budget, epochs)
    for step in steps:
        if step is None:
            job.claim()
        elif job.running:
            job.report(*step)
        assert budget.trials is None or job.trials_begun <= budget.trials
        assert budget.epochs is None or job.epochs_spent <= budget.epochs
        assert budget.seconds is None or job.seconds_spent <= budget.seconds * (1 + 1e-9)


@given(
    budget=st.integers(10, 60),
    epochs=st.integers(1, 10),
    ran=st.lists(st.integers(1, 10), min_size=60),
)
def test_a_budget_of_epochs_is_used_up(budget: int, epochs: int, ran: list[int]) -> None:
    job = Simulation(Budget(epochs=budget), epochs)
    for epochs_run in ran:
        if not job.claim():
            break
        job.report(0, epochs_run, 1.0)
    assert budget - epochs < job.epochs_spent <= budget
