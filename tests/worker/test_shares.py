"""How a time that runs have in common is divided between them."""

from contextlib import ExitStack

from lrsearch_worker.engine.shares import Shares


def test_a_second_is_divided_between_those_at_work() -> None:
    now = [100.0]
    shares = Shares(3, now=lambda: now[0])
    with shares.counted(0):
        now[0] += 1.0
        with shares.counted(1):
            now[0] += 1.0
        now[0] += 0.25
    now[0] += 10.0  # nobody is at work
    assert [shares.clock(run)() for run in range(3)] == [1.75, 0.5, 0.0]


def test_the_clock_runs_while_its_run_is_at_work() -> None:
    now = [0.0]
    shares = Shares(2, now=lambda: now[0])
    clock = shares.clock(0)
    with ExitStack() as at_work:
        at_work.enter_context(shares.counted(0))
        at_work.enter_context(shares.counted(1))
        now[0] = 3.0
        assert clock() == 1.5
    now[0] = 4.0
    assert clock() == 1.5
