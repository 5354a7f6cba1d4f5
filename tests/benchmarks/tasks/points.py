"""The layers of the table: which rates are run on which task, source and seed.

Each is a protocol and a strategy of the service; together they are affordable in pieces, and each
is of use without those after it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import Strategy
from lrsearch.contract.probes import Probe
from lrsearch.contract.protocols import (
    PAPER_SCALES,
    Graduated,
    LogRange,
    Protocol,
    Staged,
    Uniform,
)
from tests.benchmarks.tasks.rules import discriminative, relative_gradients


@dataclass(frozen=True)
class Layer:
    """Points of one search space, run with some seeds."""

    name: str
    protocol: Protocol | Callable[[Probe], Protocol]
    """The space; where it follows from the task, how it follows from the task's probe."""
    strategy: Strategy
    trials: int | None = None
    """Of a space that is sampled."""
    seeds: Sequence[int] = (0,)

    def space(self, probe: Probe | None) -> Protocol:
        """The layer's space for the task of a probe.

        Raises:
            ValueError: The space follows from the task, and there is no probe of it.
        """
        if not callable(self.protocol):
            return self.protocol
        if probe is None:
            raise ValueError(
                f"layer {self.name} follows from the tasks' probes; `look` at them first"
            )
        return self.protocol(probe)

    @property
    def budget(self) -> Budget:
        """All that the layer runs."""
        return Budget(trials=self.trials)


WIDE: Final = (*PAPER_SCALES, 20.0, 40.0)
"""The paper's scales, and two beyond: where images are few, the best one was often the last."""

LAYERS: Final = {
    layer.name: layer
    for layer in (
        Layer("graduated", Graduated(scale=list(WIDE)), "exhaustive"),
        Layer("seeds", Graduated(scale=list(WIDE)), "exhaustive", seeds=(1, 2)),
        Layer(
            "uniform",
            Uniform(il=[3e-4, 1e-3, 3e-3, 1e-2, 3e-2], ll=[0.01, 0.03, 0.1, 0.3]),
            "exhaustive",
        ),
        Layer(
            "staged",
            Staged(
                frozen=[0, 1, 2, 3, 4, 5],
                il=LogRange(low=3e-4, high=3e-2),
                growth=LogRange(low=1.0, high=4.0),
                ll=LogRange(low=3e-3, high=0.5),
            ),
            "random",
            trials=40,
        ),
        Layer(
            "joint",
            Staged(frozen=[0, 2], il=[0.015], growth=[1.5, 3.0], ll=[0.03, 0.06, 0.12]),
            "exhaustive",
        ),
        Layer("discriminative", discriminative(), "exhaustive"),
        Layer("auto_rgn", relative_gradients, "exhaustive"),
    )
}
