"""The interface that every network has: five stages and a head, each with its own learning rate."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES, Stage


class NetworkError(ValueError):
    """A network that cannot be built, or not divided into stages."""


class StagedNetwork(nn.Module):
    """A network of five inner stages and a head, which run one after the other.

    This class does it for the submodules `conv1` … `conv5` and `head`, and nothing else: a subclass
    assigns the six in its constructor and then calls `check_stages`. A stage may hold pooling; the
    last inner stage, `conv5`, ends with whatever turns its maps into one feature vector an image,
    so that the head is a linear layer on shape `(images, features)`.
    """

    head_name = "head"
    """Name of the submodule that is the last layer."""

    shares_prefix = True
    """Whether what enters each stage is a single tensor, so that it can be stored."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(images, labels)` of normalised images `(images, 3, side, side)`, float32."""
        return self.run(images, 0, len(STAGES))

    def run(self, activations: Tensor, first: int, end: int) -> Tensor:
        """Run the stages `first` … `end - 1` (0: conv1 … 5: head) on what enters stage `first`.

        Raises:
            ValueError: More than a single tensor enters stage `first` or `end`, or batch
                normalisation is to train on a single number.
        """
        if not self.shares_prefix and {first, end} - {0, len(STAGES)}:
            raise ValueError(
                f"stages {first} to {end} cannot run alone: several tensors pass between stages"
            )
        values: tuple[Tensor, ...] = (activations,)
        for name in STAGES[first:end]:
            with _explained(name):
                values = self.through(name, *values)
        return values[0]

    def through(self, name: Stage, *entering: Tensor) -> tuple[Tensor, ...]:
        """What leaves stage `name` where `entering` enters it."""
        return (self.stage(name)(*entering),)

    def stage(self, name: Stage) -> nn.Module:
        """What stage `name` consists of, to set its mode and gradients and find its parameters."""
        return cast(nn.Module, getattr(self, name))

    def parts_of(self, name: Stage) -> tuple[str, ...]:
        """Names of the submodules (and single tensors) that stage `name` consists of."""
        return (name,)

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
            ValueError: A tensor belongs to no stage, or two stages share one.
        """
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
        old = cast(nn.Linear, self.get_submodule(self.head_name))
        new = new_head(old.in_features, labels, generator, bias=old.bias is not None)
        self.set_submodule(self.head_name, new.to(old.weight.device, old.weight.dtype))

    @torch.no_grad()
    def check_input(self, side: int) -> None:
        """Check that images of `side` × `side` pixels pass; leaves the network in evaluation mode.

        Raises:
            NetworkError: They do not.
        """
        like = next(self.parameters())
        try:
            self.eval()(torch.zeros(1, 3, side, side, device=like.device, dtype=like.dtype))
        except Exception as error:  # whatever the network's own code says
            raise NetworkError(
                f"the network cannot take images of {side} × {side} pixels: {error}"
            ) from error

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.named_parameters(remove_duplicate=False)
        yield from self.named_buffers(remove_duplicate=False)


def new_head(
    features: int, labels: int, generator: torch.Generator, *, bias: bool = True
) -> nn.Linear:
    """A linear layer from `features` to `labels`, initialised as `replace_head` says.

    Raises:
        ValueError: `labels` is not positive.
    """
    if labels < 1:
        raise ValueError(f"labels is {labels}; a head needs at least one output")
    # By way of "meta", torch does not draw weights of its own first, from everybody's generator.
    head = nn.Linear(features, labels, bias=bias, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        head.weight.normal_(0.0, 0.01, generator=generator)
        if bias:
            head.bias.zero_()
    return head


@contextmanager
def _explained(stage: Stage) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch normalisation in {stage} is to train on one image whose map is a single pixel, "
            "which has no variance; raise batch_size or input_size, or freeze the stage (rate 0)"
        ) from error
