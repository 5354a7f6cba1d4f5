"""What the compiled kernels do to torch's tensors, and whether they are there."""

from functools import cache
from types import ModuleType
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LANES: Final = 512
"""What a row of the kernels' matrices should have at least; see there."""


@cache
def kernels() -> ModuleType | None:
    """The compiled operations; `None` where numba is not there, and torch's own must do."""
    try:
        from lrsearch_worker.networks import kernels
    except ImportError:
        return None
    return kernels


def kernels_take(x: Tensor) -> bool:
    """Whether the kernels are there and can compute on `x`."""
    return kernels() is not None and x.device.type == "cpu" and x.dtype == torch.float32


def prelu_(x: Tensor, slope: Tensor, residual: Tensor | None = None) -> Tensor:
    """`residual + prelu(x)` without gradients; `x` may be overwritten.

    Args:
        x: Maps of shape `(images, channels, height, width)`.
        slope: Of shape `(channels,)`.
        residual: Of the shape of `x`.
    """
    compiled = kernels()
    if compiled is None or not kernels_take(x):
        y = F.prelu(x, slope)
        return y if residual is None else residual + y
    x = dense(x)
    other = None if residual is None else dense(residual)
    compiled.activate_in_place(x.data_ptr(), slope.data_ptr(), address(other), *matrix_shape(x))
    return x


class MatrixShape(NamedTuple):
    """Of maps as the matrix that the kernels take."""

    rows: int
    lanes: int
    channels: int


def matrix_shape(x: Tensor) -> MatrixShape:
    """Of dense maps `(images, channels, height, width)`."""
    images, channels, height, width = x.shape
    rows, lanes = images * height * width, channels
    while lanes < LANES and rows % 2 == 0:
        rows, lanes = rows // 2, lanes * 2
    return MatrixShape(rows, lanes, channels)


def dense(x: Tensor) -> Tensor:
    """In channels-last order without gaps."""
    return x.contiguous(memory_format=torch.channels_last)


def address(tensor: Tensor | None) -> int:
    """Where a tensor's numbers begin; 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()
