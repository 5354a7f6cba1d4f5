"""A 3 × 3 convolution whose weight gradient is fast on the CPU for few pixels.

Where a batch has few pixels, torch's kernel (oneDNN's) spends most of its time on reordering; the
same gradient as one matrix product takes a half to a ninth of the time, with 64 to 512 channels.
In a ResNet-27 at 32 pixels this concerns the last batch of an epoch in conv5, at 16 pixels more.
"""

from typing import Any, Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW_PIXELS: Final = 64
"""Pixels of a batch's maps up to which the matrix product is used; with more it may be slower,
where the processor is not one that the product's library favours."""


class Conv3x3(nn.Conv2d):
    """A convolution of 3 × 3, stride 1 and padding 1, which keeps the map's size."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps of shape `(images, channels, height, width)`."""
        few = x.shape[0] * x.shape[-2] * x.shape[-1] <= FEW_PIXELS
        if few and x.device.type == "cpu" and torch.is_grad_enabled():
            return cast(Tensor, _FewPixelsConv.apply(x, self.weight, self.bias))
        return super().forward(x)


class _FewPixelsConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=1)

    @staticmethod
    def backward(
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            _input_gradient(x, weight, gradient) if to_x else None,
            _weight_gradient(x, gradient) if to_weight else None,
            gradient.sum((0, 2, 3)) if to_bias else None,
        )


def _input_gradient(x: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """As torch computes it: its kernel is fast for this one."""
    only_input = [True, False, False]
    one, none = [1, 1], [0, 0]
    arguments = (gradient, x, weight, None, one, one, one, False, none, 1, only_input)
    return cast(Tensor, torch.ops.aten.convolution_backward(*arguments)[0])


def _weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Each pixel's 3 × 3 neighbourhood as a row, times the gradient; in channels-last order."""
    images, inputs, height, width = x.shape
    outputs = gradient.shape[1]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    n, h, w, c = padded.stride()
    windows = padded.as_strided((images, height, width, 3, 3, inputs), (n, h, w, h, w, c))
    rows = windows.reshape(images * height * width, 9 * inputs)
    product = gradient.permute(0, 2, 3, 1).reshape(-1, outputs).t() @ rows
    return product.view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)
