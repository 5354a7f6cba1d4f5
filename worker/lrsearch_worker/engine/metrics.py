"""How good a network is on a split."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy on a split."""

    loss: float
    """Mean cross-entropy; may be infinite or NaN."""
    top1: float
    """Share of images whose largest logit is their label's."""
    correct: NDArray[np.bool_]
    """Whether each image is right, in the split's order."""


@torch.inference_mode()
def evaluate(
    network: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> Evaluation:
    """Evaluate `network`, which must be in evaluation mode.

    Args:
        network: From inputs to logits, shape `(images, labels)`.
        batches: Inputs and labels.

    Raises:
        ValueError: There are no images.
    """
    losses: list[Tensor] = []
    correct: list[Tensor] = []
    for inputs, labels in batches:
        logits = network(inputs).float()
        losses.append(F.cross_entropy(logits, labels, reduction="none"))
        correct.append(logits.argmax(dim=1) == labels)
    if not losses:
        raise ValueError("the split has no images; there is nothing to evaluate on")
    right = torch.cat(correct).cpu().numpy()
    loss = torch.cat(losses).cpu().double().mean().item()
    return Evaluation(loss=loss, top1=float(right.mean()), correct=right)
