"""The Gaussian process, against the formulas written out."""

import numpy as np
import pytest

from lrsearch.search.prior.process import (
    NEW_TASK,
    Array,
    Kernel,
    Points,
    Process,
    log_likelihood,
)

KERNEL = Kernel(
    level=0.9,
    feature_level=0.6,
    common=0.5,
    featured=0.4,
    own=0.3,
    run=0.2,
    rate_lengths=(1.5, 0.7),
    feature_lengths=(2.0, 0.9, 1.1),
)

VALUES = np.array([0.3, 1.1, -0.4, 0.8, 0.2])
NOISE = np.array([0.05, 0.1, 0.02, 0.2, 0.07])


def some_points(seed: int, groups: list[int]) -> Points:
    """Points of some tasks; points of a task share its features, as in life."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(10, 3))
    return Points(
        generator.normal(size=(len(groups), 2)), features[groups], np.array(groups, np.int64)
    )


def covariance(a: Points, b: Points) -> Array:
    """The kernel, term by term."""
    table = np.empty((len(a.groups), len(b.groups)))
    for i in range(len(a.groups)):
        for j in range(len(b.groups)):
            rates = (a.coordinates[i] - b.coordinates[j]) / np.array(KERNEL.rate_lengths)
            tasks = (a.features[i] - b.features[j]) / np.array(KERNEL.feature_lengths)
            near, alike = np.exp(-0.5 * (rates @ rates)), np.exp(-0.5 * (tasks @ tasks))
            same = float(a.groups[i] == b.groups[j])
            table[i, j] = (
                0.9**2 * same + 0.6**2 * alike + near * (0.5**2 + 0.4**2 * alike + 0.3**2 * same)
            )
    return table


def test_the_kernel_is_the_sum_of_its_parts() -> None:
    a, b = some_points(0, [0, 1, 1]), some_points(1, [1, 2])

    assert KERNEL.covariance(a, b) == pytest.approx(covariance(a, b))


def test_a_kernel_is_its_vector() -> None:
    again = Kernel.of(KERNEL.vector(), coordinates=2)

    assert again.vector() == pytest.approx(KERNEL.vector())
    assert again.rate_lengths == pytest.approx(KERNEL.rate_lengths)
    assert again.feature_lengths == pytest.approx(KERNEL.feature_lengths)


def test_the_posterior_is_that_of_the_textbook() -> None:
    known, new = some_points(2, [0, 0, 1, 1, 2]), some_points(3, [NEW_TASK, NEW_TASK])
    inner = covariance(known, known) + np.diag(NOISE + KERNEL.run**2)
    across = covariance(new, known)
    mean = VALUES.mean() + across @ np.linalg.solve(inner, VALUES - VALUES.mean())
    spread = covariance(new, new) - across @ np.linalg.solve(inner, across.T)

    found = Process(KERNEL, known, VALUES, NOISE).at(new)

    assert found.mean == pytest.approx(mean)
    assert found.covariance == pytest.approx(spread)


def test_means_alone_are_those_of_the_posterior_for_every_task() -> None:
    process = Process(KERNEL, some_points(2, [0, 0, 1, 1, 2]), VALUES, NOISE)
    new = some_points(4, [NEW_TASK, NEW_TASK, NEW_TASK])
    tasks = np.array([[0.0, 1.0, -1.0], [2.0, 0.3, 0.4]])

    found = process.means(new.coordinates, tasks)

    for task, means in zip(tasks, found, strict=True):
        there = new._replace(features=np.tile(task, (3, 1)))
        assert means == pytest.approx(process.at(there).mean)


def test_what_is_seen_makes_everything_about_the_task_surer() -> None:
    process = Process(KERNEL, some_points(2, [0, 0, 1, 1, 2]), VALUES, NOISE)
    before = process.at(some_points(5, [NEW_TASK] * 4))

    after = before.given(np.array([1]), np.array([2.5]), np.array([[0.01]]))

    assert (after.deviation < before.deviation).all()
    assert after.deviation[1] < 0.1
    assert after.mean[1] == pytest.approx(2.5, abs=0.05)
    assert before.given(np.array([], np.int64), np.array([]), np.zeros((0, 0))) is before


def test_seeing_one_by_one_is_seeing_all_at_once() -> None:
    process = Process(KERNEL, some_points(2, [0, 0, 1, 1, 2]), VALUES, NOISE)
    before = process.at(some_points(5, [NEW_TASK] * 3))
    values, noise = np.array([0.4, -0.2]), np.diag([0.1, 0.3])

    at_once = before.given(np.array([0, 2]), values, noise)
    one = before.given(np.array([0]), values[:1], noise[:1, :1])
    both = one.given(np.array([2]), values[1:], noise[1:, 1:])

    assert both.mean == pytest.approx(at_once.mean)
    assert both.covariance == pytest.approx(at_once.covariance)


def test_a_new_tasks_level_is_in_no_difference() -> None:
    """However unsure the level, gains over the baseline are as sure as before."""
    known, new = some_points(2, [0, 0, 1, 1, 2]), some_points(3, [NEW_TASK] * 2)
    kernel = Kernel.of(KERNEL.vector(), coordinates=2)
    unsure = Kernel(**{**vars(kernel), "level": 50.0})
    for levels in (kernel, unsure):
        covariance = Process(levels, known, VALUES, NOISE).at(new).covariance
        assert covariance[0, 0] - levels.level**2 < 1.0
        difference = covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1]
        assert 0.0 < difference < 1.0


def test_the_likelihood_is_the_normal_distributions() -> None:
    points = some_points(2, [0, 0, 1, 1, 2])
    spread = covariance(points, points) + np.diag(NOISE + KERNEL.run**2)
    centred = VALUES - VALUES.mean()
    determinant = np.linalg.slogdet(spread)[1]

    expected = -0.5 * centred @ np.linalg.solve(spread, centred) - 0.5 * determinant

    assert log_likelihood(KERNEL, points, VALUES, NOISE) == pytest.approx(expected)
