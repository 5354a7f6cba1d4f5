"""Budgets: what a job may spend at most."""

from decimal import Decimal

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
    finetunes: float | None = Field(
        default=None,
        ge=1.0,
        le=100_000.0,
        description="In finetune-equivalents: epochs over the recipe's epochs; 1.5 pays for one "
        "whole finetune and half of another's epochs. It is shown with the `epochs` that it comes "
        "to.",
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

    @property
    def bounds_finetunes(self) -> bool:
        """Whether it says how much may be tried, be it in trials, epochs or seconds."""
        return any((self.trials, self.finetunes, self.epochs, self.seconds))

    def epochs_of_finetunes(self, epochs: int) -> int | None:
        """Whole epochs that `finetunes` pays for, a finetune having `epochs`."""
        if self.finetunes is None:
            return None
        return int(Decimal(str(self.finetunes)) * epochs)  # 1.15 × 20 is 23, not 22.999…
