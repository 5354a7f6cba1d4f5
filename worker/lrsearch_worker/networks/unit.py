"""The building blocks of ResNet-27."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrsearch_worker.networks.pointwise import prelu_

Norm = Literal["none", "batch"]

SLOPE = 0.25
"""PReLU's slope at the start (He et al., 2015)."""


class Unit(nn.Module):
    """Convolution, normalisation if any, PReLU with a slope for each channel; then a residual.

    Where no gradients are wanted and the unit is in evaluation mode, the normalisation is folded
    into the convolution.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        norm: What stands between the convolution and its PReLU.
    """

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=norm == "none")
        self.norm = nn.BatchNorm2d(outputs) if norm == "batch" else None
        self.activation = nn.PReLU(outputs, init=SLOPE)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Maps `(images, inputs, height, width)` to `(images, outputs, height, width)`.

        `residual`, of the result's shape, is added to it.
        """
        if not self.training and not torch.is_grad_enabled():
            weight, bias = self._folded()
            return prelu_(F.conv2d(x, weight, bias, padding=1), self.activation.weight, residual)
        x = self.conv(x)
        y: Tensor = self.activation(x if self.norm is None else self.norm(x))
        return y if residual is None else residual + y

    def _folded(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the convolution that normalises as well."""
        norm = self.norm
        if norm is None:
            return self.conv.weight, self.conv.bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        bias = norm.bias - norm.running_mean * scale
        return self.conv.weight * scale.view(-1, 1, 1, 1), bias

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """He et al. (2015) for PReLU."""
        fan_in = self.conv.in_channels * 9
        deviation = math.sqrt(2.0 / ((1.0 + SLOPE**2) * fan_in))
        self.conv.weight.normal_(0.0, deviation, generator=generator)
        if self.conv.bias is not None:
            self.conv.bias.zero_()


class Block(nn.Module):
    """Two units and an identity add."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.first = Unit(channels, channels, norm)
        self.second = Unit(channels, channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Maps of shape `(images, channels, height, width)`, to others of the same shape."""
        y: Tensor = self.second(self.first(x), residual=x)
        return y
