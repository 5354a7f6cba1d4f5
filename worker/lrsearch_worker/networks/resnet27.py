"""ResNet-27: Caffe's residual network of 27 convolutions in five stages (the paper's Figure 5)."""

from typing import Final

import torch
from torch import nn

from lrsearch_worker.networks.chain import Chain
from lrsearch_worker.networks.staged import StagedNetwork, new_head
from lrsearch_worker.networks.unit import Block, Norm, Unit

CHANNELS: Final = (64, 128, 256, 512)
"""Output channels of conv1 … conv4 at width 1; conv5 keeps conv4's."""

BLOCKS: Final = (0, 1, 2, 5, 3)
"""Residual blocks in conv1 … conv5."""


class ResNet27(StagedNetwork):
    """27 convolutions of 3 × 3 (stride 1, padding 1), each followed by a PReLU.

    conv1 is 3→32→64; conv2, conv3 and conv4 are 1, 2 and 5 residual blocks and a convolution that
    doubles the channels; conv5 is 3 blocks at 512 and the global average pool. conv1 … conv4 end
    with a max-pool that halves the side. All channels are multiplied by `width`.

    With `norm="none"`, as in Caffe, convolutions have biases; with `norm="batch"`, a batch
    normalisation takes their place. Residual branches start small, so that either trains: the
    identity dominates at first, and variance does not grow with depth.

    Args:
        width: Factor on the channels, at least 1/32.
        norm: What stands between a convolution and its PReLU.
        labels: Outputs of the head.
        generator: CPU generator that all weights are drawn from.
    """

    def __init__(self, width: float, norm: Norm, labels: int, generator: torch.Generator) -> None:
        super().__init__()
        stem = max(1, round(32 * width))
        c1, c2, c3, c4 = (max(1, round(c * width)) for c in CHANNELS)
        b2, b3, b4, b5 = BLOCKS[1:]
        self.conv1 = Chain(Unit(3, stem, norm), Unit(stem, c1, norm), nn.MaxPool2d(2))
        self.conv2 = Chain(*_blocks(b2, c1, norm), Unit(c1, c2, norm), nn.MaxPool2d(2))
        self.conv3 = Chain(*_blocks(b3, c2, norm), Unit(c2, c3, norm), nn.MaxPool2d(2))
        self.conv4 = Chain(*_blocks(b4, c3, norm), Unit(c3, c4, norm), nn.MaxPool2d(2))
        self.conv5 = Chain(*_blocks(b5, c4, norm), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = new_head(c4, labels, generator)
        self._initialise(generator)
        self.check_stages()

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """He et al. (2015) for PReLU; a block's second convolution starts at a tenth of that."""
        for module in self.modules():
            if isinstance(module, Unit):
                module.initialise(generator)
        for module in self.modules():
            if isinstance(module, Block):
                last = module.second
                (last.conv if last.norm is None else last.norm).weight.mul_(0.1)


def _blocks(count: int, channels: int, norm: Norm) -> list[Block]:
    return [Block(channels, norm) for _ in range(count)]
