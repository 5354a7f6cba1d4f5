"""Ours."""

from collections.abc import Sequence

from lrsearch.search.prior.acquire import choose
from lrsearch.search.prior.prior import Observation, Prior
from tests.benchmarks.search.lookup import BASELINE, GRADUATED, Task
from tests.benchmarks.search.strategies.replay import Replay


def recommended(prior: Prior, candidates: Sequence[int] | None = None) -> Replay:
    """Ours: what the prior recommends, then what it expects to improve most; chosen by belief."""

    def replay(task: Task, budget: float, draw: int) -> int:
        places = [BASELINE, *task.of(GRADUATED)] if candidates is None else candidates
        tried = [BASELINE]
        for _ in range(int(budget)):
            left = [place for place in places if place not in tried]
            seen = [_observed(task, trial) for trial in tried]
            index = choose(prior, task.features, [task.rates[place] for place in left], seen)
            tried.append(left[index])
        seen = [_observed(task, trial) for trial in tried]
        shares = prior.believe(task.features, [task.rates[trial] for trial in tried], seen).shares()
        return tried[int(shares.argmax())]

    return replay


def _observed(task: Task, trial: int) -> Observation:
    return Observation(task.rates[trial], task.val_top1(trial), task.val_images)
