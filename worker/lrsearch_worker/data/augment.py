"""Augmentation of a batch of images: the arithmetic, given what was drawn."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lrsearch.contract.sources import Channels

GREY = 0.5
"""What contrast turns around, in pixels of [0, 1]."""


class Draws(NamedTuple):
    """What happens to each image of a batch; all of shape `(images,)`, float32."""

    centre_x: Tensor
    """Centre of the crop, 0 (left) to 1 (right)."""
    centre_y: Tensor
    """Centre of the crop, 0 (top) to 1 (bottom)."""
    width: Tensor
    """Width of the crop as a share of the image's; negative mirrors left and right."""
    height: Tensor
    """Height of the crop as a share of the image's."""
    brightness: Tensor
    """Factor on the pixels."""
    contrast: Tensor
    """Factor on the distance from grey, afterwards."""


def to_unit(pixels: Tensor) -> Tensor:
    """uint8 images `(images, side, side, 3)` as float32 `(images, 3, side, side)` in [0, 1].

    The result shares the input's order in memory, which is torch's channels-last.
    """
    return pixels.permute(0, 3, 1, 2).float().div_(255.0)


def augmented(images: Tensor, draws: Draws) -> Tensor:
    """Crop, mirror and recolour images in [0, 1], shape `(images, 3, side, side)`.

    A crop that reaches beyond the image repeats its border. Interpolation is bilinear.
    """
    zero = torch.zeros_like(draws.width)
    rows = [
        torch.stack([draws.width, zero, 2.0 * draws.centre_x - 1.0], dim=1),
        torch.stack([zero, draws.height, 2.0 * draws.centre_y - 1.0], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    factor = (draws.brightness * draws.contrast).view(-1, 1, 1, 1)
    shift = (GREY * (1.0 - draws.contrast)).view(-1, 1, 1, 1)
    return images.mul_(factor).add_(shift).clamp_(0.0, 1.0)


def normalised(images: Tensor, mean: Channels, std: Channels) -> Tensor:
    """Subtract `mean` and divide by `std` (one number a channel, of pixels in [0, 1])."""
    shape = (1, 3, 1, 1)
    centre = torch.tensor(mean, dtype=images.dtype, device=images.device).view(shape)
    spread = torch.tensor(std, dtype=images.dtype, device=images.device).view(shape)
    return (images - centre) / spread
