"""The statistics of accuracies."""

from math import comb, sqrt

from lrsearch.contract.results import Interval

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(correct: int, images: int) -> Interval:
    """95 % interval of an accuracy (Wilson, 1927); `images` is 1 or more."""
    share, z2 = correct / images, Z_95**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = Z_95 * sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


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
