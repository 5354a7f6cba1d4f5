"""Whether an installation's own evidence makes the prior better on its own tasks."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.fit import fit_kernel
from lrsearch.search.prior.prior import Prior, logistic
from lrsearch.search.prior.process import Array, Kernel
from lrsearch.search.prior.thin import thinned

FEWEST_TASKS: Final = 5
"""With fewer there is too little to judge by."""

SWEEPS: Final = 2
"""From the shipped kernel on: its numbers are near what they will be."""

KERNEL_FINETUNES: Final = 1000
"""What a kernel is fitted to at most: its few numbers need no more, and it takes seconds."""

_GROUPS: Final = 5


class Regret(NamedTuple):
    """What the first recommendation costs on a task, in percentage points of validation top-1."""

    task: str
    shipped: float
    """By the shipped evidence alone."""
    together: float
    """With that of the installation's other data sets."""


class Judgement(NamedTuple):
    """Regrets of all tasks of the installation."""

    regrets: list[Regret]

    @property
    def shipped(self) -> float:
        """Mean over the tasks."""
        return float(np.mean([each.shipped for each in self.regrets]))

    @property
    def together(self) -> float:
        """Mean over the tasks."""
        return float(np.mean([each.together for each in self.regrets]))

    @property
    def is_better(self) -> bool:
        """Whether the installation's own evidence helps."""
        return self.together < self.shipped


def judge(
    shipped: Prior, local: Evidence, on_progress: Callable[[int, int], None] = lambda *_: None
) -> Judgement:
    """Compares the shipped prior with one that knows the installation's tasks too.

    Of each local task, the rates that were tried on it are ranked by either prior, which knows
    nothing of the task's domain; the regret is how far the first one's measured accuracy is below
    the best one's. The kernel is fitted without the task's domain as well: in up to five groups
    of domains, each left out together.

    Args:
        shipped: The prior that comes with lrsearch.
        local: Finetunes of this installation, at least one task's.
        on_progress: Is told how many of how many groups are done.
    """
    domains = sorted(set(local.domains))
    groups = [domains[start::_GROUPS] for start in range(min(_GROUPS, len(domains)))]
    together = shipped.evidence.and_also(local)
    regrets: dict[int, Regret] = {}
    for number, group in enumerate(groups):
        on_progress(number, len(groups))
        rest = together
        for domain in group:
            rest = rest.without(domain)
        kernel = refitted(rest, shipped.kernel)
        for domain in group:
            alone = _prior(shipped.kernel, shipped.evidence.without(domain))
            fitted = _prior(kernel, together.without(domain))
            for task in (i for i, each in enumerate(local.domains) if each == domain):
                regrets[task] = Regret(
                    local.names[task], _regret(alone, local, task), _regret(fitted, local, task)
                )
    on_progress(len(groups), len(groups))
    return Judgement([regrets[task] for task in sorted(regrets)])


def refitted(evidence: Evidence, start: Kernel) -> Kernel:
    """The kernel after a few sweeps over the evidence, or over a part of it (see `thinned`)."""
    return fit_kernel(thinned(evidence, KERNEL_FINETUNES), start, SWEEPS)


def _prior(kernel: Kernel, evidence: Evidence) -> Prior:
    return Prior("judged", kernel, evidence)


def _regret(prior: Prior, local: Evidence, task: int) -> float:
    rates, top1 = _measured(local, task)
    first = prior.rank(local.features[task], rates)[0].rates
    return 100.0 * float(top1.max() - top1[rates.index(first)])


def _measured(local: Evidence, task: int) -> tuple[list[StageRates], Array]:
    """Rates that were tried on a task, each once, and the accuracy that they reached on average."""
    found: dict[StageRates, list[float]] = {}
    for row in np.flatnonzero(local.tasks == task):
        rates = StageRates(**dict(zip(STAGES, local.rates[row], strict=True)))
        found.setdefault(rates, []).append(local.values[row])
    return list(found), logistic(np.array([np.mean(values) for values in found.values()]))
