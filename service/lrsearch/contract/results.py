"""Results: what a finished job gives."""

from typing import Literal

from pydantic import Field

from lrsearch.contract.base import Accuracy, Contract, Identifier, Sha256
from lrsearch.contract.protocols import Point
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.trials import TrialState


class Interval(Contract):
    """A 95 % interval of an accuracy (Wilson's score interval)."""

    low: Accuracy
    high: Accuracy


class Contender(Contract):
    """The winner or the baseline."""

    trial: int = Field(ge=0, description="Its number.")
    point: Point = Field(description="The protocol's values.")
    rates: StageRates
    val_top1: Accuracy
    val_loss: float
    test_top1: Accuracy | None = Field(description="Null where the evaluation is validation only.")
    test_interval: Interval | None = Field(description="95 % interval of `test_top1`.")
    expected_top1: Accuracy | None = Field(
        default=None,
        description="Under strategy `recommend`: the accuracy that is expected of its rates, after "
        "what other tasks teach and what all complete trials of this one gave; else null.",
    )


class PointsInterval(Contract):
    """A 95 % interval of a difference of accuracies, in percentage points."""

    low: float
    high: float


class Confirmation(Contract):
    """The winner's rates finetuned once more, with a second seed; the test split is not touched."""

    trial: int = Field(ge=1, description="Its number.")
    state: TrialState = Field(description="If not `complete`, nothing is confirmed.")
    val_top1: Accuracy | None = Field(description="With the second seed.")
    validation_images: int = Field(ge=1, description="Images in the validation split.")
    difference_points: float | None = Field(
        description="Second seed's minus winner's validation accuracy, in percentage points. "
        "Expect a little less than 0: the winner was chosen for its figure."
    )
    difference_interval: PointsInterval | None = Field(
        description="95 % interval of `difference_points` for so many images (Newcombe's, of two "
        "independent proportions)."
    )
    within_chance: bool | None = Field(description="Whether that interval contains 0.")
    gain_points: float | None = Field(
        description="Second seed's minus baseline's validation accuracy, in percentage points: "
        "the gain has repeated if it is above 0."
    )


class Cost(Contract):
    """What the search has spent."""

    trials: int = Field(ge=0, description="Finetunes that ended, the baseline included.")
    epochs: int = Field(ge=0, description="Epochs run, the baseline's not counted.")
    seconds: float = Field(ge=0.0, description="Worker seconds, summed over trials.")
    finetune_equivalents: float = Field(
        ge=0.0, description="Epochs over the recipe's epochs: how many plain finetunes it cost."
    )


class Result(Contract):
    """The best rates, how good they really are, and what it took.

    The winner is the complete trial of the highest validation accuracy, ties going to the lower
    validation loss. Under strategy `recommend` it is the one of the highest expected accuracy: what
    other tasks teach, corrected by the validation accuracies of all complete trials, each as far as
    so few images can tell. It need not have the highest validation accuracy. A trial is judged when
    it ends; one that was passed over then has lost its weights, and cannot come back.
    """

    job_id: Identifier
    winner: Contender
    baseline: Contender | None = Field(description="Null where the baseline failed.")
    evaluation: Literal["holdout", "validation_only"] = Field(
        description="`validation_only` where fewer than 30 test images are left: no test figures."
    )
    test_images: int = Field(ge=0, description="Images in the test split.")
    gain_points: float | None = Field(
        description="Winner's minus baseline's accuracy, in percentage points: on the test split, "
        "or on validation where that is all there is."
    )
    gain_p_value: float | None = Field(
        description="Of the gain, by McNemar's exact test on the paired test images."
    )
    selection_optimism_points: float | None = Field(
        description="Winner's validation minus test accuracy, in percentage points."
    )
    confirmation: Confirmation | None = Field(
        default=None,
        description="Null where it was not wanted, nothing had a gain over the baseline, the "
        "target accuracy was reached, or the budget was used up.",
    )
    verdict: str = Field(
        description="The outcome in a sentence; in a second one, what the confirmation gave."
    )
    cost: Cost
    source_model: str
    images_per_label: int | None
    recipe: Recipe = Field(description="With the winner's rates, all that is needed to repeat it.")
    weights_sha256: Sha256 = Field(description="Content address of the winner's safetensors file.")
    weights_url: str = Field(description="Path to fetch the weights from.")
