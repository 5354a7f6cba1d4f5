"""Source models: pretrained networks that finetuning starts from."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from lrsearch.contract.base import Accuracy, Contract, Identifier, Name, Sha256

Channels = tuple[
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[float, Field(allow_inf_nan=False)],
    Annotated[float, Field(allow_inf_nan=False)],
]
"""One number for each of red, green and blue."""

ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]{0,99}$")]
"""What a library calls a network: small letters, digits and `_`, without any tag of weights."""

METADATA_KEY = "lrsearch"
"""Key of a safetensors file's metadata under which `SourceSpec` stands, as JSON."""


class ResNet27(Contract):
    """Caffe's residual network of exactly 27 convolutions in five stages (the paper's Figure 5)."""

    network: Literal["resnet27"] = "resnet27"
    width: float = Field(
        default=1.0,
        ge=0.0625,
        le=4.0,
        description="Factor on every stage's channels (1: 32 … 512).",
    )
    norm: Literal["none", "batch"] = Field(
        default="batch", description="Normalisation after each convolution; Caffe's original: none."
    )

    @property
    def name(self) -> str:
        """What people call it."""
        return self.network


class Torchvision(Contract):
    """A classifier of torchvision; its weights have the names that they have there."""

    network: Literal["torchvision"] = "torchvision"
    model: ModelName = Field(description="Its name in `torchvision.models`, such as `resnet18`.")

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.network}:{self.model}"


class Timm(Contract):
    """A classifier of timm; its weights have the names that they have there."""

    network: Literal["timm"] = "timm"
    model: ModelName = Field(description="Its name in timm, such as `tf_efficientnet_lite0`.")

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.network}:{self.model}"


def _resnet27_by_default(value: object) -> object:
    return {"network": "resnet27"} | value if isinstance(value, dict) else value


Architecture = Annotated[
    Annotated[ResNet27 | Torchvision | Timm, Field(discriminator="network")],
    BeforeValidator(_resnet27_by_default),
]
"""The networks that a worker can build; one that names no `network` is a ResNet-27."""


class Card(Contract):
    """Where a source model comes from: what one must know to use it and to make it again."""

    description: str = Field(
        default="", max_length=2000, description="What it knows, in a sentence."
    )
    data: list[str] = Field(default_factory=list, description="Data sets it was trained on.")
    licence: str = Field(default="", max_length=500, description="Licence of weights and data.")
    recipe: dict[str, str | int | float] = Field(
        default_factory=dict, description="Hyperparameters of its training."
    )
    images: int | None = Field(default=None, ge=0, description="Training images.")
    labels: int | None = Field(default=None, ge=0, description="Labels of the source task.")
    top1: Accuracy | None = Field(default=None, description="Accuracy on held-out source images.")
    command: str = Field(default="", max_length=4000, description="Command that makes it.")


class SourceSpec(Contract):
    """What a checkpoint says of itself, in its safetensors metadata."""

    architecture: Architecture = Field(description="The network that the weights fit.")
    input_size: int = Field(ge=16, le=512, description="Pixels a side that it was trained at.")
    mean: Channels = Field(default=(0.5, 0.5, 0.5), description="Subtracted from pixels in [0, 1].")
    std: Channels = Field(
        default=(0.5, 0.5, 0.5), description="Divides after the mean's subtraction."
    )
    labels: list[str] | None = Field(
        default=None, max_length=100_000, description="Names of the head's outputs, in order."
    )
    card: Card = Field(default_factory=Card, description="Origin and licence.")


SourceState = Literal["checking", "ready", "rejected"]


class SourceModel(Contract):
    """A registered source model."""

    id: Identifier
    name: Name = Field(description="Unique name; what a job refers to.")
    state: SourceState = Field(
        description="`checking` until a worker has loaded the weights into the network."
    )
    reason: str | None = Field(default=None, description="Why it was rejected.")
    spec: SourceSpec
    weights_sha256: Sha256 | None = Field(
        description="Content address of the safetensors file; null: random initialisation."
    )
    weights_bytes: int = Field(ge=0, description="Size of the safetensors file.")
    created_at: datetime
