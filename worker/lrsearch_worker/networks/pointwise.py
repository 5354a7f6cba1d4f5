"""Batch normalisation, PReLU and the residual add as one operation."""

from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LANES: Final = 512
"""What a row of the kernels' matrices should have at least; see there."""


def normalised_prelu(
    x: Tensor, norm: nn.BatchNorm2d | None, slope: Tensor, residual: Tensor | None = None
) -> Tensor:
    """`residual + prelu(norm(x))`, in training: gradients can be taken, and statistics move.

    Args:
        x: Maps of shape `(images, channels, height, width)`.
        norm: In training mode, it takes the batch's statistics, which need more than one pixel.
        slope: PReLU's, of shape `(channels,)` (He et al., 2015).
        residual: Of the shape of `x`.

    Raises:
        ValueError: `norm` trains, and there is but one pixel.
    """
    if norm is not None and (not norm.training or x.numel() == x.shape[1]):
        x, norm = norm(x), None
    if kernels() is not None and x.device.type == "cpu" and x.dtype == torch.float32:
        weight, bias = (None, None) if norm is None else (norm.weight, norm.bias)
        return cast(Tensor, _NormalisedPReLU.apply(x, weight, bias, slope, residual, norm))
    y = F.prelu(x if norm is None else norm(x), slope)
    return y if residual is None else residual + y


def prelu_(x: Tensor, slope: Tensor, residual: Tensor | None = None) -> Tensor:
    """`residual + prelu(x)` without gradients; `x` may be overwritten."""
    compiled = kernels()
    if compiled is None or x.device.type != "cpu" or x.dtype != torch.float32:
        y = F.prelu(x, slope)
        return y if residual is None else residual + y
    x = _dense(x)
    other = None if residual is None else _dense(residual)
    compiled.activate_in_place(x.data_ptr(), slope.data_ptr(), _address(other), *_shape(x))
    return x


@cache
def kernels() -> ModuleType | None:
    """The compiled operations; `None` where numba is not there, and torch's own must do."""
    try:
        from lrsearch_worker.networks import kernels
    except ImportError:
        return None
    return kernels


class _NormalisedPReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        slope: Tensor,
        residual: Tensor | None,
        norm: nn.BatchNorm2d | None,
    ) -> Tensor:
        compiled = cast(Any, kernels())
        x = _dense(x)
        other = None if residual is None else _dense(residual)
        shape = _shape(x)
        out, saved = torch.empty_like(x), x.new_empty(4, shape.channels)
        if norm is None:
            compiled.activate(
                x.data_ptr(),
                slope.data_ptr(),
                _address(other),
                out.data_ptr(),
                saved.data_ptr(),
                *shape,
            )
        else:
            compiled.normalise_activate(
                x.data_ptr(),
                _address(weight),
                _address(bias),
                slope.data_ptr(),
                _address(other),
                _address(norm.running_mean),
                _address(norm.running_var),
                cast(float, norm.momentum),
                norm.eps,
                out.data_ptr(),
                saved.data_ptr(),
                *shape,
            )
            cast(Tensor, norm.num_batches_tracked).add_(1)
        ctx.save_for_backward(x, slope, saved)
        ctx.normalised = norm is not None
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = _dense(gradients[0])
        x, slope, saved = ctx.saved_tensors
        shape = _shape(x)
        to_x, to_channels = torch.empty_like(x), x.new_empty(3, shape.channels)
        cast(Any, kernels()).gradients(
            x.data_ptr(),
            gradient.data_ptr(),
            slope.data_ptr(),
            saved.data_ptr(),
            ctx.normalised,
            to_x.data_ptr(),
            to_channels.data_ptr(),
            *shape,
        )
        _, weight_wanted, bias_wanted, slope_wanted, residual_wanted, _ = ctx.needs_input_grad
        to_bias, to_weight, to_slope = to_channels.unbind()
        return (
            to_x,
            to_weight if weight_wanted else None,
            to_bias if bias_wanted else None,
            to_slope if slope_wanted else None,
            gradient if residual_wanted else None,
            None,
        )


class _Shape(NamedTuple):
    """Of maps as the matrix that the kernels take."""

    rows: int
    lanes: int
    channels: int


def _shape(x: Tensor) -> _Shape:
    images, channels, height, width = x.shape
    rows, lanes = images * height * width, channels
    while lanes < LANES and rows % 2 == 0:
        rows, lanes = rows // 2, lanes * 2
    return _Shape(rows, lanes, channels)


def _dense(x: Tensor) -> Tensor:
    """In channels-last order without gaps."""
    return x.contiguous(memory_format=torch.channels_last)


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()
