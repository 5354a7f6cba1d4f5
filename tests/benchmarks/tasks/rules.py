"""Published rules for stage rates, as protocols: what is left open is one rate to multiply.

Both are sets of multipliers of the graduated protocol; its base is 1, so a scale is a rate.
"""

from typing import Final

from lrsearch.contract.probes import Probe
from lrsearch.contract.protocols import Graduated, Multipliers
from lrsearch.contract.rates import INNER_STAGES

DECAY: Final = 2.6
"""From a stage's rate to that of the stage before it."""


def discriminative() -> Graduated:
    """Discriminative rates (Howard and Ruder, "ULMFiT", 2018): each is the next one's by 2.6.

    What is a layer in the paper is a stage here. A scale is the head's rate.
    """
    c5, c4, c3, c2, c1 = (DECAY**-below for below in range(1, 6))
    return Graduated(base=1.0, multipliers=[(c1, c2, c3, c4, c5, 1.0)], scale=[0.03, 0.1, 0.2, 0.4])


def relative_gradients(probe: Probe) -> Graduated:
    """Auto-RGN (Lee et al., "Surgical fine-tuning", 2023): rates go with relative gradient norms.

    In the paper a tensor's rate is a base rate times the norm of its gradient over that of its
    weights, divided by the largest of these, and anew in each epoch. Here a stage is what a tensor
    is there, and the ratios are the probe's: taken once, before the finetune, with a trained head.
    An inner stage's rate is at most the head's, as everywhere here.

    There are two sets of multipliers. The first is the paper's: it divides by the largest ratio of
    all, which is the head's on every task of the suite. The second divides by the largest of the
    inner stages, and the head has the base rate: a new head is not what the paper's ratios are
    of. The first is three times larger, since it leaves less of a base rate to the inner stages.
    """
    ratios = probe.gradient_ratios
    inner = [getattr(ratios, stage) or 0.0 for stage in INNER_STAGES]
    head = ratios.head or 0.0
    of_all, of_inner = max(*inner, head), max(inner)
    return Graduated(
        base=1.0,
        multipliers=[
            _multipliers([3.0 * ratio / of_all for ratio in inner], 3.0 * head / of_all),
            _multipliers([ratio / of_inner for ratio in inner], 1.0),
        ],
        scale=[0.01, 0.03, 0.1],
    )


def _multipliers(inner: list[float], head: float) -> Multipliers:
    c1, c2, c3, c4, c5 = (min(each, head) for each in inner)
    return c1, c2, c3, c4, c5, head
