"""The statistics of accuracies."""

from math import comb, hypot, sqrt

from lrsearch.contract.results import Interval, PointsInterval

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(correct: int, images: int) -> Interval:
    """95 % interval of an accuracy (Wilson, 1927); `images` is 1 or more."""
    share, z2 = correct / images, Z_95**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = Z_95 * sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def difference_interval(
    first_correct: int, first_images: int, second_correct: int, second_images: int
) -> PointsInterval:
    """95 % interval of a first accuracy minus a second one (Newcombe, 1998, from Wilson's).

    It takes them for independent. Of two networks on the same images, which are right and wrong
    about much the same ones, the difference varies less.
    """
    first = wilson_interval(first_correct, first_images)
    second = wilson_interval(second_correct, second_images)
    p, q = first_correct / first_images, second_correct / second_images
    below, above = hypot(p - first.low, second.high - q), hypot(first.high - p, q - second.low)
    return PointsInterval(low=100.0 * (p - q - below), high=100.0 * (p - q + above))


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that two classifiers are equally good on the same images.

    Args:
        only_first: images that the first alone has right.
        only_second: images that the second alone has right.
    """
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    tail = sum(comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / (1 << discordant))
