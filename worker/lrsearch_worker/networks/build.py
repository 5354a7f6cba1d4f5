"""From an architecture of the contract to a network."""

import torch

from lrsearch.contract import sources
from lrsearch.contract.sources import Architecture
from lrsearch_worker.networks.library import library_network
from lrsearch_worker.networks.resnet27 import ResNet27
from lrsearch_worker.networks.staged import StagedNetwork


def build(architecture: Architecture, labels: int, seed: int) -> StagedNetwork:
    """A network of random weights, on the CPU, in float32.

    Args:
        architecture: What to build.
        labels: Outputs of the head.
        seed: Of the initialisation; the same seed gives the same weights on every machine.

    Raises:
        NetworkError: There is no such network here, or it cannot be divided into stages.
        ValueError: `labels` is not positive.
    """
    if not isinstance(architecture, sources.ResNet27):
        return library_network(architecture, labels, seed)
    generator = torch.Generator().manual_seed(seed)
    return ResNet27(architecture.width, architecture.norm, labels, generator)
