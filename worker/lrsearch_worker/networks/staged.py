"""The interface that every network has: five stages and a head, each with its own learning rate."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES, Stage


class StagedNetwork(nn.Module):
    """A chain of the submodules `conv1` … `conv5` and `head`, and nothing else.

    Subclasses assign the six submodules in their constructor and then call `check_stages`. A stage
    may hold pooling; the last inner stage, `conv5`, ends with whatever turns its maps into one
    feature vector an image, so that the head is a linear layer on shape `(images, features)`.
    """

    conv1: nn.Module
    conv2: nn.Module
    conv3: nn.Module
    conv4: nn.Module
    conv5: nn.Module
    head: nn.Linear

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(images, labels)` of normalised images `(images, 3, side, side)`, float32."""
        return self.run(images, 0, len(STAGES))

    def run(self, activations: Tensor, first: int, end: int) -> Tensor:
        """Run the stages `first` … `end - 1` (0: conv1 … 5: head) on what enters stage `first`."""
        for name in STAGES[first:end]:
            activations = self.stage(name)(activations)
        return activations

    def stage(self, name: Stage) -> nn.Module:
        """The submodule of stage `name`."""
        return cast(nn.Module, getattr(self, name))

    def stage_of(self, tensor_name: str) -> Stage:
        """The one stage that the parameter or buffer `tensor_name` belongs to.

        Raises:
            ValueError: No stage covers the name.
        """
        first, _, rest = tensor_name.partition(".")
        for stage in STAGES:
            if first == stage and rest:
                return stage
        raise ValueError(
            f"'{tensor_name}' belongs to no stage; every parameter and buffer must stand below one "
            f"of {', '.join(STAGES)}"
        )

    def check_stages(self) -> None:
        """Check that each parameter and buffer belongs to exactly one stage.

        Raises:
            ValueError: A stage is missing, a tensor is below none, or two stages share one.
        """
        for stage in STAGES:
            if not isinstance(getattr(self, stage, None), nn.Module):
                raise ValueError(f"{type(self).__name__} has no submodule '{stage}'")
        owner: dict[int, Stage] = {}
        for name, tensor in self._named_tensors():
            stage = self.stage_of(name)
            if owner.setdefault(id(tensor), stage) != stage:
                raise ValueError(
                    f"'{name}' is shared by the stages {owner[id(tensor)]} and {stage}; "
                    "a tensor has one learning rate, so it must belong to one stage"
                )

    def freeze_prefix(self, stages: int) -> None:
        """Freeze the first `stages` stages (0 to 5): no gradients, and evaluation mode throughout.

        The mode holds until `train` is called next; the engine sets modes before each epoch.
        """
        for name in STAGES[:stages]:
            self.stage(name).requires_grad_(False).eval()

    def replace_head(self, labels: int, generator: torch.Generator) -> None:
        """Give the network a new last layer for `labels` labels, drawn from `generator`.

        The weights are normal with standard deviation 0.01 (the field's usual choice for a new
        last layer, Caffe's too), the biases 0. The generator must be a CPU one, so that the draw
        is the same on every device.
        """
        old = self.head.weight
        self.head = new_head(self.head.in_features, labels, generator).to(old.device, old.dtype)

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.named_parameters(remove_duplicate=False)
        yield from self.named_buffers(remove_duplicate=False)


def new_head(features: int, labels: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer from `features` to `labels`, initialised as `replace_head` says.

    Raises:
        ValueError: `labels` is not positive.
    """
    if labels < 1:
        raise ValueError(f"labels is {labels}; a head needs at least one output")
    head = nn.Linear(features, labels)
    with torch.no_grad():
        head.weight.normal_(0.0, 0.01, generator=generator)
        head.bias.zero_()
    return head
