"""The recipe: everything that is held fixed across the trials of a job."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrsearch.contract.base import Contract


class NoAugmentation(Contract):
    """Every epoch sees the images as they are."""

    kind: Literal["none"] = "none"


class Views(Contract):
    """A finite set of seeded views of each image, cycled by epoch.

    Being finite, what a frozen stage computes of them can be stored. A view depends on nothing but
    the recipe's seed (and the trial's replicate), the view's number and the image's content.
    """

    kind: Literal["views"] = "views"
    views: int = Field(default=4, ge=1, le=64, description="Views of each image.")
    flip: bool = Field(
        default=True, description="Mirror left and right; switch off for letters and digits."
    )
    crop_scale: float = Field(
        default=0.7, gt=0.0, le=1.0, description="Smallest share of the area that a crop keeps."
    )
    colour: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Largest relative change of brightness and contrast.",
    )


Augmentation = Annotated[NoAugmentation | Views, Field(discriminator="kind")]


class Splits(Contract):
    """Shares of the images of each label that validate and that test; the rest trains.

    The test split is cut first, then validation, then training subsets; identical content stays
    together, and the subsets for different images per label are nested.
    """

    validation: float = Field(default=0.16, gt=0.0, lt=1.0, description="Selects among trials.")
    test: float = Field(default=0.20, ge=0.0, lt=1.0, description="Touched once, at the end.")

    @model_validator(mode="after")
    def _leave_something_to_train(self) -> Self:
        if self.validation + self.test >= 0.95:
            raise ValueError(
                f"validation {self.validation:g} + test {self.test:g} leave less than 5 % to train "
                "on; the default is 0.16 + 0.20"
            )
        return self


class Recipe(Contract):
    """How every trial of a job is finetuned; trials differ in their stage rates alone."""

    epochs: int = Field(default=20, ge=1, le=1000, description="Passes over the training images.")
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Images in one optimiser step; the last may be smaller.",
    )
    schedule: Literal["step", "cosine"] = Field(
        default="step",
        description="`step`: × 0.1 after each third of the epochs (as the paper); `cosine`: to 0.",
    )
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="Momentum of SGD.")
    weight_decay: float = Field(default=5e-4, ge=0.0, le=1.0, description="L2 weight decay of SGD.")
    augmentation: Augmentation = Field(
        default_factory=NoAugmentation, description="`none`, or a finite number of `views`."
    )
    input_size: int | None = Field(
        default=None, ge=16, le=512, description="Pixels a side; null takes the source model's."
    )
    splits: Splits = Field(default_factory=Splits, description="Shares that validate and test.")
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Of splits, head initialisation, order and views.",
    )
