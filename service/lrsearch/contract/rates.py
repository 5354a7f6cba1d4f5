"""Stage rates: the six absolute learning rates that a trial tries."""

from collections.abc import Iterator
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import Contract, PositiveRate, Rate

Stage = Literal["conv1", "conv2", "conv3", "conv4", "conv5", "head"]

STAGES: Final[tuple[Stage, ...]] = ("conv1", "conv2", "conv3", "conv4", "conv5", "head")
"""Every network has these, from its input to its last layer."""

INNER_STAGES: Final[tuple[Stage, ...]] = STAGES[:-1]


class StageRates(Contract):
    """One absolute initial learning rate a stage; 0 freezes it whole (weights and statistics).

    The paper's graduated rates (section 4.3) are `base × multiplier × scale`; what is stored and
    run is always the product, so that two protocols that mean the same rates give the same trial.
    """

    conv1: Rate = Field(description="Learning rate of stage conv1; 0 freezes it.")
    conv2: Rate = Field(description="Learning rate of stage conv2; 0 freezes it.")
    conv3: Rate = Field(description="Learning rate of stage conv3; 0 freezes it.")
    conv4: Rate = Field(description="Learning rate of stage conv4; 0 freezes it.")
    conv5: Rate = Field(description="Learning rate of stage conv5; 0 freezes it.")
    head: PositiveRate = Field(description="Learning rate of the last layer; it always trains.")

    @model_validator(mode="after")
    def _inner_not_above_head(self) -> Self:
        for stage in INNER_STAGES:
            if self[stage] > self.head:
                raise ValueError(
                    f"{stage} has rate {self[stage]:g}, above the head's {self.head:g}; "
                    "an inner-layer rate (IL) may not exceed the last-layer rate (LL)"
                )
        return self

    @classmethod
    def of(cls, inner: float, head: float) -> Self:
        """The same rate `inner` (IL) for all five inner stages, and `head` (LL)."""
        return cls(**dict.fromkeys(INNER_STAGES, inner), head=head)

    def __getitem__(self, stage: Stage) -> float:
        rate: float = getattr(self, stage)
        return rate

    def items(self) -> Iterator[tuple[Stage, float]]:
        """Stages and their rates, from `conv1` to `head`."""
        return ((stage, self[stage]) for stage in STAGES)

    @property
    def frozen_prefix(self) -> int:
        """How many stages from the input on are frozen without a gap: 0 to 5."""
        return next((i for i, stage in enumerate(INNER_STAGES) if self[stage] > 0.0), 5)
