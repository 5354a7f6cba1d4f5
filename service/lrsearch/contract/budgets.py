"""Budgets: what a job may spend at most."""

from pydantic import Field

from lrsearch.contract.base import Accuracy, Contract


class Budget(Contract):
    """Upper bounds; the first one reached ends the search. They are reserved at claim.

    The baseline is trial 0 of every job and nearly free (it trains the head on stored features):
    its trial and its epochs are not counted, its seconds are.
    """

    trials: int | None = Field(
        default=None, ge=1, le=100_000, description="Finetunes, besides the baseline."
    )
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=100_000_000,
        description="Epochs over all finetunes; what a pruned trial leaves is given back.",
    )
    seconds: float | None = Field(
        default=None, gt=0.0, le=1e9, description="Worker seconds, summed over accepted trials."
    )
    target_accuracy: Accuracy | None = Field(
        default=None, description="Validation top-1 that is good enough to stop."
    )
