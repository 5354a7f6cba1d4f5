"""How learning rates fall over the epochs."""

import math
from typing import Literal

Schedule = Literal["step", "cosine"]


def factor(schedule: Schedule, epoch: int, epochs: int) -> float:
    """What every initial rate is multiplied with in `epoch` (from 0) of `epochs`.

    `step` is × 0.1 after each third of the epochs (the paper's schedule); `cosine` falls from 1
    towards 0, which it would reach in the epoch after the last.

    Raises:
        ValueError: `epoch` is not in `0 … epochs - 1`.
    """
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch is {epoch}; with {epochs} epochs it is 0 to {epochs - 1}")
    if schedule == "step":
        return float(0.1 ** (3 * epoch // epochs))
    return 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
