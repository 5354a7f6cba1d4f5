"""What curves of other tasks teach of a task's: a normal distribution of whole learning curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from lrsearch.search.prior.process import Normal

Array = NDArray[np.float64]

LENGTHS: Final = (2.0, 4.0, 8.0)
"""How far features may be apart for curves to be alike, in standard deviations."""

RIDGES: Final = (0.3, 1.0, 3.0)
"""Variance of a task's curves around what its features tell, over that of what they tell."""

SHRINKAGES: Final = (0.05, 0.1, 0.2, 0.4)
"""Shares of the covariance that are left to each number alone."""

_LEAST_VARIANCE: Final = 1e-4


@dataclass(frozen=True)
class Curves:
    """Curves of all points on a task, as one normal variable of `points × epochs` numbers.

    Its mean is that of a Gaussian process over the tasks' features. Its covariance is that of the
    other tasks around what each one's features would have told without it, drawn towards its
    diagonal.
    """

    length: float
    features: Array
    """Of the tasks known, `(tasks, features)`."""
    centre: Array
    """`(numbers,)`."""
    weights: Array
    """What each task known adds to the centre, `(tasks, numbers)`."""
    covariance: Array
    """`(numbers, numbers)`."""

    @classmethod
    def fit(cls, features: Array, curves: Array, domains: Sequence[str]) -> Self:
        """The likeliest of `LENGTHS`, `RIDGES` and `SHRINKAGES`, judged on domains left out.

        Args:
            features: `(tasks, features)`.
            curves: `(tasks, points, epochs)`.
            domains: Of the tasks; two or more.

        Raises:
            ValueError: There is one domain only.
        """
        if len(set(domains)) < 2:
            raise ValueError(f"curves of one domain only, {domains[0]}; two are needed to fit")
        numbers = curves.reshape(len(curves), -1)
        out = [np.array([each == domain for each in domains]) for domain in sorted(set(domains))]

        def likelihood(choice: tuple[float, float, float]) -> float:
            return sum(
                cls._of(features[~left], numbers[~left], *choice)._log_density(
                    features[left], numbers[left]
                )
                for left in out
            )

        choices = product(LENGTHS, RIDGES, SHRINKAGES)
        return cls._of(features, numbers, *max(choices, key=likelihood))

    def at(self, features: Array) -> Normal:
        """What is expected of a task, in the order of the points and then of the epochs."""
        return Normal(self._means(features[None])[0], self.covariance)

    @classmethod
    def _of(
        cls, features: Array, numbers: Array, length: float, ridge: float, shrinkage: float
    ) -> Self:
        centre = numbers.mean(axis=0)
        alike = _alike(features, features, length)
        precision = np.linalg.inv(alike + ridge * np.eye(len(features)))
        weights = precision @ (numbers - centre)
        around = weights / np.diag(precision)[:, None]  # each task against all but itself
        covariance = (1.0 - shrinkage) * around.T @ around / len(numbers)
        own = shrinkage * (around**2).mean(axis=0) + _LEAST_VARIANCE
        return cls(length, features, centre, weights, covariance + np.diag(own))

    def _means(self, features: Array) -> Array:
        return self.centre + _alike(features, self.features, self.length) @ self.weights

    def _log_density(self, features: Array, numbers: Array) -> float:
        """Of several tasks, but for a constant."""
        root = np.linalg.cholesky(self.covariance)
        away = np.linalg.solve(root, (numbers - self._means(features)).T)
        return -0.5 * float((away**2).sum()) - len(numbers) * float(np.log(np.diag(root)).sum())


def _alike(features: Array, known: Array, length: float) -> Array:
    """1 where features are the same, less the farther they are apart; `(features, known)`."""
    spreads = known.std(axis=0)
    units = np.where(spreads > 0.0, spreads, 1.0) * length
    squares = (((features[:, None] - known[None, :]) / units) ** 2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * squares), np.float64)
