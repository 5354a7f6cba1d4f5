"""What the prior says of a task's rates before any was tried, kept for the next question.

A search asks of the same few hundred rates again and again, and each answer takes a product with
all of the evidence; what was tried since costs next to nothing beside it.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final, NamedTuple

import numpy as np

from lrsearch.contract.rates import StageRates
from lrsearch.search.prior.features import Vector
from lrsearch.search.prior.process import Normal

TASKS: Final = 32
"""That are remembered: the ones asked about last."""

MOST_RATES: Final = 512
"""Of a task that are remembered; 2 MB of covariances."""


class Joints:
    """Joint distributions of what rates reach on a task. Threads may share it.

    Args:
        work_out: Gives that of a task, by its features, and of some rates, each there once.
    """

    def __init__(self, work_out: Callable[[Vector, Sequence[StageRates]], Normal]) -> None:
        self._work_out = work_out
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = Lock()

    def of(self, features: Vector, rates: Sequence[StageRates]) -> Normal:
        """That of these rates, some of which may be the same."""
        task = features.tobytes()
        with self._lock:
            known = self._known.get(task, _NOTHING)
        if not known.places.keys() >= set(rates):
            wanted = dict.fromkeys([*known.places, *rates])
            if len(wanted) > MOST_RATES:
                wanted = dict.fromkeys(rates)
            places = {each: place for place, each in enumerate(wanted)}
            known = _Known(places, self._work_out(features, list(wanted)))
        with self._lock:
            self._known[task] = known
            self._known.move_to_end(task)
            if len(self._known) > TASKS:
                self._known.popitem(last=False)
        chosen = np.array([known.places[each] for each in rates], dtype=np.int64)
        mean, covariance = known.joint
        return Normal(mean[chosen], covariance[np.ix_(chosen, chosen)])


class _Known(NamedTuple):
    places: dict[StageRates, int]
    joint: Normal


_NOTHING: Final = _Known({}, Normal(np.zeros(0), np.zeros((0, 0))))
