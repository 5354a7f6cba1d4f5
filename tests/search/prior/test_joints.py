"""What the prior says of a task's rates is worked out once, and is the same however it is asked."""

from collections.abc import Sequence

import numpy as np

from lrsearch.contract.rates import StageRates
from lrsearch.search.prior.features import Vector
from lrsearch.search.prior.joints import MOST_RATES, TASKS, Joints
from lrsearch.search.prior.process import Normal


class _Asked:
    """Works out a made-up joint distribution, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, features: Vector, rates: Sequence[StageRates]) -> Normal:
        self.sizes.append(len(rates))
        heads = np.array([round(1000.0 * each.head) for each in rates])
        return Normal(features[0] + heads, np.outer(heads, heads) + features[0])


def test_the_answer_is_that_of_the_rates_asked_for_in_their_order() -> None:
    asked = _Asked()
    joints = Joints(asked)
    joints.of(_task(1), _rates(1, 2, 3, 4))
    mean, covariance = joints.of(_task(1), _rates(4, 2, 4))
    np.testing.assert_array_equal(mean, [5.0, 3.0, 5.0])
    np.testing.assert_array_equal(covariance, [[17, 9, 17], [9, 5, 9], [17, 9, 17]])
    assert asked.sizes == [4]


def test_rates_that_are_new_join_those_that_are_known() -> None:
    asked = _Asked()
    joints = Joints(asked)
    joints.of(_task(1), _rates(1, 2))
    joints.of(_task(1), _rates(3, 3))
    joints.of(_task(1), _rates(1, 2, 3))
    assert asked.sizes == [2, 3]


def test_tasks_are_not_mixed_up() -> None:
    joints = Joints(_Asked())
    for number in range(3):
        assert joints.of(_task(number), _rates(1)).mean.tolist() == [number + 1.0]
    assert joints.of(_task(1), _rates(1)).mean.tolist() == [2.0]


def test_the_task_that_was_asked_about_longest_ago_is_forgotten() -> None:
    asked = _Asked()
    joints = Joints(asked)
    for number in range(TASKS):
        joints.of(_task(number), _rates(1))
    joints.of(_task(0), _rates(1))
    joints.of(_task(TASKS), _rates(1))
    assert len(asked.sizes) == TASKS + 1
    joints.of(_task(0), _rates(1))
    assert len(asked.sizes) == TASKS + 1
    joints.of(_task(1), _rates(1))
    assert len(asked.sizes) == TASKS + 2


def test_no_task_keeps_more_rates_than_the_limit_unless_they_are_asked_for_at_once() -> None:
    asked = _Asked()
    joints = Joints(asked)
    joints.of(_task(1), _rates(*range(1, MOST_RATES + 1)))
    joints.of(_task(1), _rates(MOST_RATES + 1))
    assert asked.sizes == [MOST_RATES, 1]


def _task(number: int) -> Vector:
    return np.array([float(number)])


def _rates(*numbers: int) -> list[StageRates]:
    frozen = {"conv1": 0.0, "conv2": 0.0, "conv3": 0.0, "conv4": 0.0, "conv5": 0.0}
    return [StageRates(**frozen, head=number / 1000.0) for number in numbers]
