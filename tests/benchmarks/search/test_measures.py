"""What a strategy is said to be worth."""

import numpy as np
import pytest

from tests.benchmarks.search.lookup import BASELINE, Task
from tests.benchmarks.search.made_up import IMAGES, MIDDLING, a_row, a_task, right
from tests.benchmarks.search.measures import (
    bootstrapped,
    coverage,
    optimism_points,
    worse_than_baseline,
)


def test_a_ratio_of_means_is_that_of_the_means_and_not_the_mean_of_ratios() -> None:
    tasks = [a_task(task="one"), a_task(task="two")]
    found = bootstrapped(tasks, np.array([1.0, 1.0]), np.array([1.0, 3.0]))
    assert list(found) == pytest.approx([0.5, 1 / 3, 1.0])  # only "two" drawn, and only "one"


def test_a_ratio_that_is_the_same_on_every_task_has_no_width() -> None:
    tasks = [a_task(task=name) for name in ("one", "two", "three")]
    bottom = np.array([1.0, 2.0, 4.0])
    assert bootstrapped(tasks, 0.5 * bottom, bottom) == pytest.approx((0.5, 0.5, 0.5))


def test_the_sources_of_a_target_are_drawn_together() -> None:
    tasks = [a_task(task="one", source=source) for source in ("letters", "emoji")]
    found = bootstrapped(tasks, np.array([0.0, 1.0]), np.ones(2))
    assert found == (0.5, 0.5, 0.5)


def test_harm_is_a_loss_of_more_than_a_point_that_is_no_chance() -> None:
    task = a_task([0.45, 0.495, 0.5, 0.55, *MIDDLING[4:]], baseline=0.5)
    assert [worse_than_baseline(task, trial) for trial in range(5)] == [
        False,  # the baseline itself
        True,  # 50 images lost, none won
        False,  # half a point
        False,  # as good
        False,  # better
    ]


def test_a_loss_that_may_be_chance_is_no_harm() -> None:
    task = a_task(baseline=0.5)
    row = task.measured.rows[1]
    # 120 won and 140 lost: 2 points fewer, paired p 0.24.
    ours = np.arange(IMAGES) < 360
    ours[500:620] = True
    row["audit_right"] = np.packbits(ours).tobytes()
    assert not worse_than_baseline(task, 1)
    ours[200:260] = False  # 120 won and 200 lost
    row["audit_right"] = np.packbits(ours).tobytes()
    assert worse_than_baseline(task, 1)


def test_a_diverged_trial_is_harm() -> None:
    task = a_task()
    task.measured.rows[1] = a_row("graduated", task.rates[1], [0.5, 0.4], None)
    assert worse_than_baseline(task, 1)
    assert optimism_points(task, 1) is None


def test_optimism_is_what_test_images_promise_beyond_audit_images() -> None:
    task = a_task(baseline=0.5)
    task.measured.rows[BASELINE]["test_right"] = right(0.53)
    assert optimism_points(task, BASELINE) == pytest.approx(3.0)


def test_intervals_of_test_sets_drawn_from_the_audit_split_hold_its_accuracy_19_times_in_20() -> (
    None
):
    tasks = [users_of(100, baseline) for baseline in (0.3, 0.6, 0.8)]
    assert coverage(tasks, [BASELINE] * 3) == pytest.approx(0.95, abs=0.02)


def test_tasks_whose_users_have_fewer_than_30_test_images_are_left_out_of_coverage() -> None:
    few, enough = users_of(20, 0.5), users_of(100, 1.0)
    assert coverage([few, enough], [BASELINE] * 2) == 1.0  # all of 100 are right, always


def users_of(test_images: int, baseline: float) -> Task:
    task = a_task(baseline=baseline)
    task.measured.rows[BASELINE]["test_images"] = test_images
    return task
