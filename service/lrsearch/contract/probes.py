"""Probes: the cheap look at a task before any finetune."""

from typing import Annotated

from pydantic import Field

from lrsearch.contract.base import Accuracy, Contract, Seconds
from lrsearch.contract.datasets import Spread
from lrsearch.contract.trials import Loss

HEAD_EPOCHS = 20
"""Most epochs of a probe's head-only training."""

Count = Annotated[int, Field(ge=0, le=10**12)]
Ratio = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class StageCounts(Contract):
    """A whole number for each stage."""

    conv1: Count
    conv2: Count
    conv3: Count
    conv4: Count
    conv5: Count
    head: Count


class StageRatios(Contract):
    """A ratio for each stage; null where it has no weights, or its gradient is not finite."""

    conv1: Ratio | None
    conv2: Ratio | None
    conv3: Ratio | None
    conv4: Ratio | None
    conv5: Ratio | None
    head: Ratio | None


class Probe(Contract):
    """What a task is like: its training images, and how the source network takes to them.

    Everything is of the training split, without augmentation; validation and test images are
    never looked at. The same task and seed give the same probe, but for the seconds.

    These are features of the task as a whole, for choosing among candidates of all stage rates
    together. No stage's rate is derived from that stage's own figures.
    """

    architecture: str = Field(max_length=200, description="Name of the source model's network.")
    parameters: StageCounts = Field(
        description="Weights of each stage, the head's for the task's labels."
    )
    images: int = Field(ge=1, description="Training images.")
    labels: int = Field(ge=1, description="Labels.")
    images_per_label: Spread = Field(description="Training images of a label.")
    input_size: int = Field(ge=1, description="Pixels a side.")
    label_entropy: float = Field(
        ge=0.0,
        le=1.0,
        description="Entropy of the training labels over that of as many equally frequent ones, 0 "
        "to 1; 1 where all have as many images, and for a single label.",
    )
    chance: Accuracy = Field(description="Share of the commonest label among training images.")
    images_used: int = Field(
        ge=1,
        description="Images behind the accuracies and losses below: all training images, or of "
        "more than 2,000 a sample with each label's share.",
    )
    knn_top1: Accuracy | None = Field(
        description="Accuracy of nearest neighbours (cosine, up to 5) on the source's frozen "
        "features, by stratified 5-fold cross-validation; null where a label has one image."
    )
    linear_top1: Accuracy | None = Field(
        description="Accuracy of a ridge classifier on the same features, standardised, by the "
        "same folds, each fold's regulariser chosen within the others; null as `knn_top1`."
    )
    head_losses: list[Loss] = Field(
        max_length=HEAD_EPOCHS,
        description="Mean cross-entropy of each epoch of the baseline's training (head alone, LL = "
        "0.01), up to 20 epochs; fewer where the loss became infinite or NaN.",
    )
    gradient_ratios: StageRatios = Field(
        description="Norm of the gradient of the mean training loss over the norm of the weights "
        "(1 per unit of learning rate), with the head trained as above; up to 128 images."
    )
    seconds: Seconds = Field(description="Wall-clock seconds that it took.")
