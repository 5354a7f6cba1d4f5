"""A Gaussian process over tasks and stage rates.

What a finetune reaches is modelled as the logit of its accuracy,

    z(task, rates) = level(task) + level(features) + f(rates) + g(features, rates) + h(task, rates),

each a Gaussian process: levels are constant in the rates, `f` is common to all tasks, `g` moves
with the task's features, and `h` is a task's own. A new task shares all but its own parts with the
tasks of the evidence; what is tried on it teaches those too.
"""

from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEW_TASK: Final = -1
"""Group of a task that is not in the evidence."""


@dataclass(frozen=True)
class Kernel:
    """How alike accuracies are; deviations in logits, lengths in the units of their axes."""

    level: float
    """Deviation of a task's own level."""
    feature_level: float
    """Deviation of the level that goes with the features."""
    common: float
    """Deviation of what all tasks share."""
    featured: float
    """Deviation of what goes with the features."""
    own: float
    """Deviation of what is a task's own."""
    run: float
    """Deviation from one run to the next, with another seed."""
    rate_lengths: tuple[float, ...]
    """By coordinate."""
    feature_lengths: tuple[float, ...]
    """By feature, in its standard deviations over the evidence."""

    def vector(self) -> Array:
        """Logarithms of all its numbers, in the order of the fields."""
        numbers = np.hstack([getattr(self, field.name) for field in fields(self)])
        return np.asarray(np.log(numbers), np.float64)

    @classmethod
    def of(cls, vector: Array, coordinates: int) -> "Kernel":
        """The kernel of a `vector()`, whose lengths begin with those of `coordinates`."""
        level, feature_level, common, featured, own, run, *lengths = np.exp(vector).tolist()
        return cls(
            *(level, feature_level, common, featured, own, run),
            rate_lengths=tuple(lengths[:coordinates]),
            feature_lengths=tuple(lengths[coordinates:]),
        )

    def similarity(self, a: Array, b: Array) -> Array:
        """How alike standardised features are, 0 to 1, shape `(len a, len b)`."""
        return _near(a, b, self.feature_lengths)

    def covariance(self, a: "Points", b: "Points") -> Array:
        """Covariances of what lies at `a` and at `b`, without the noise, shape `(len a, len b)`."""
        near = _near(a.coordinates, b.coordinates, self.rate_lengths)
        alike = self.similarity(a.features, b.features)
        same = a.groups[:, None] == b.groups[None, :]
        moving = self.common**2 + self.featured**2 * alike + self.own**2 * same
        return np.asarray(
            near * moving + self.level**2 * same + self.feature_level**2 * alike, np.float64
        )


class Points(NamedTuple):
    """Where accuracies lie."""

    coordinates: Array
    """`(points, coordinates)`."""
    features: Array
    """`(points, features)`, standardised."""
    groups: NDArray[np.int64]
    """`(points,)`: the task."""


class Normal(NamedTuple):
    """A joint normal distribution."""

    mean: Array
    """`(points,)`."""
    covariance: Array
    """`(points, points)`."""

    @property
    def deviation(self) -> Array:
        """Of each alone, shape `(points,)`."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def given(self, places: NDArray[np.int64], values: Array, noise: Array) -> "Normal":
        """The same after `values` were seen at `places`; `noise` is their covariance."""
        if len(places) == 0:
            return self
        across = self.covariance[:, places]
        inner = self.covariance[np.ix_(places, places)] + noise
        gain = np.linalg.solve(inner, across.T).T
        return Normal(
            self.mean + gain @ (values - self.mean[places]), self.covariance - gain @ across.T
        )


class Process:
    """The process after all the evidence.

    Args:
        kernel: How alike accuracies are.
        points: Of the evidence.
        values: Logits there, shape `(points,)`.
        noise: Their variances, shape `(points,)`, that of repeated runs left out.
    """

    def __init__(self, kernel: Kernel, points: Points, values: Array, noise: Array) -> None:
        self.kernel = kernel
        self._points = points
        self._mean = float(values.mean())
        covariance = kernel.covariance(points, points)
        covariance[np.diag_indices_from(covariance)] += noise + kernel.run**2
        self._precision = np.linalg.inv(covariance)
        self._weights = self._precision @ (values - self._mean)

    def at(self, points: Points) -> Normal:
        """What is expected at points of other tasks (or of a task of the evidence)."""
        across = self.kernel.covariance(points, self._points)
        return Normal(
            self._mean + across @ self._weights,
            self.kernel.covariance(points, points) - across @ self._precision @ across.T,
        )

    def means(self, coordinates: Array, features: Array) -> Array:
        """What is expected of new tasks, without how sure that is, and so much faster.

        Args:
            coordinates: `(rates, coordinates)`.
            features: `(tasks, features)`, standardised.

        Returns:
            For each task what each of the rates is expected to reach, `(tasks, rates)`.
        """
        kernel, points, weights = self.kernel, self._points, self._weights
        alike = kernel.similarity(features, points.features)
        near = _near(coordinates, points.coordinates, kernel.rate_lengths)
        moving = (kernel.common**2 + kernel.featured**2 * alike) * weights
        level = kernel.feature_level**2 * (alike @ weights)
        return np.asarray(self._mean + level[:, None] + moving @ near.T, np.float64)


def log_likelihood(kernel: Kernel, points: Points, values: Array, noise: Array) -> float:
    """Logarithm of how likely the values are; minus infinity where the kernel is degenerate."""
    covariance = kernel.covariance(points, points)
    covariance[np.diag_indices_from(covariance)] += noise + kernel.run**2
    try:
        root = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return -np.inf
    centred = values - values.mean()
    fit = float(centred @ np.linalg.solve(covariance, centred))
    return -0.5 * fit - float(np.log(np.diag(root)).sum())


def _near(a: Array, b: Array, lengths: tuple[float, ...]) -> Array:
    """Squared exponential kernel, 1 where they meet."""
    a, b = a / np.array(lengths), b / np.array(lengths)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(squares, 0.0)), np.float64)
