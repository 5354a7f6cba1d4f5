"""What a network's stages are, for people to look at."""

from typing import NamedTuple

import torch
from torch import nn

from lrsearch.contract.rates import STAGES, Stage
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.networks.steps import depth_of


class StageOutline(NamedTuple):
    """One stage of a network."""

    stage: Stage
    parts: tuple[str, ...]
    """Names of its submodules (and single tensors)."""
    layers: int
    """Kernels and matrices."""
    parameters: int
    share: float
    """Of all the network's parameters, in [0, 1]."""
    outputs: list[list[int]]
    """Shapes of what leaves it for one image; several where the network is no chain."""


@torch.inference_mode()
def outline(network: StagedNetwork, side: int) -> list[StageOutline]:
    """The six stages, at an input of `side` × `side` pixels; puts the network in evaluation mode.

    Raises:
        NetworkError: The network cannot take such images.
    """
    network.check_input(side)
    total = _parameters(network)
    values: tuple[torch.Tensor, ...] = (torch.zeros(1, 3, side, side),)
    found = []
    for name in STAGES:
        values = network.through(name, *values)
        stage = network.stage(name)
        count = _parameters(stage)
        shapes = [list(value.shape[1:]) for value in values if isinstance(value, torch.Tensor)]
        parts = network.parts_of(name)
        found.append(StageOutline(name, parts, depth_of(stage), count, count / total, shapes))
    return found


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
