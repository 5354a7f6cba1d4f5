"""Stage rates as points of a space in which near means alike."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch.contract.rates import STAGES, StageRates

COORDINATES: Final = ("head", "conv5", "conv3", "conv1", "frozen stages")
"""Names, for people; between these stages, rates are taken to go evenly."""

_KNEE: Final = 1e-4
"""Rates far below it are as good as frozen, and near to it in this space."""


def coordinates(rates: Sequence[StageRates]) -> NDArray[np.float64]:
    """Points of shape `(len(rates), len(COORDINATES))`.

    A rate becomes `log2(1 + rate / 1e-4)`: linear where it hardly trains, so that frozen is a place
    at the end of the axis, and logarithmic where it does. The last coordinate counts the stages
    that are frozen from the input on, since their normalisation statistics do not move either.
    """
    table = np.array([[rate for _, rate in each.items()] for each in rates]).reshape(
        -1, len(STAGES)
    )
    logs = np.log2(1.0 + table / _KNEE)
    chosen = [STAGES.index(stage) for stage in ("head", "conv5", "conv3", "conv1")]
    frozen = np.array([[float(each.frozen_prefix)] for each in rates]).reshape(-1, 1)
    return np.concatenate([logs[:, chosen], frozen], axis=1)
