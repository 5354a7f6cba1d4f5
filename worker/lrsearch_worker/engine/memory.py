"""How much memory a step of training takes."""

import copy
from itertools import chain

import psutil
import torch
from torch import Tensor

from lrsearch_worker.networks.staged import StagedNetwork

FREE_SHARE = 0.5
"""Part of the free memory that steps may take together; caches and others need some."""


def steps_that_fit(step_bytes: int) -> int:
    """How many steps the machine's memory has room for at a time, at least one."""
    return max(1, int(FREE_SHARE * psutil.virtual_memory().available / max(1, step_bytes)))


def step_bytes(network: StagedNetwork, image: Tensor, batch_size: int) -> int:
    """Memory of what a step keeps for its gradients, if all stages train.

    Args:
        network: Is left as it is.
        image: One normalised image, `(1, 3, side, side)`.
        batch_size: Images in a batch.
    """
    network = copy.deepcopy(network).eval().requires_grad_(True)
    own = {t.untyped_storage().data_ptr() for t in chain(network.parameters(), network.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda it: it):
        logits = network(image)  # named, so that no memory is used twice
    gradients = sum(p.nbytes for p in network.parameters())
    return int(gradients + batch_size * (sum(kept.values()) + logits.nbytes))
