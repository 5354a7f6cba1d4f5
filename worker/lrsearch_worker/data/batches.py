"""How many images are computed at a time, and in which order training sees them."""

import torch
from torch import Tensor

from lrsearch_worker.seeds import generator


def batches(images: int, batch_size: int, seed: int, epoch: int) -> list[Tensor]:
    """Positions `0 … images - 1` in a new order, cut into batches; int64.

    The order depends on `seed` and `epoch` (from 0) alone, so that all trials of a job see the
    same batches. The last batch may be smaller; a single image left over joins the batch before
    it instead, because batch normalisation has no statistics of one image.
    """
    order = torch.randperm(images, generator=generator("order", seed, epoch))
    starts = list(range(0, images, batch_size))
    if len(starts) > 1 and images - starts[-1] == 1 < batch_size:
        starts.pop()
    ends = [*starts[1:], images]
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def inference_batch(side: int) -> int:
    """Images to compute at a time where no gradient is needed: 256 up to 90 pixels, then fewer.

    This bounds the memory of ResNet-27's first maps at width 1 to about a GiB.
    """
    return max(1, min(256, 2**21 // side**2))
