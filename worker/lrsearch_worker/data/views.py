"""Views: a finite number of seeded augmentations of each image."""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch

from lrsearch.contract.recipes import Augmentation, NoAugmentation, Views
from lrsearch_worker.data.augment import Draws

LARGEST_ASPECT = 4.0 / 3.0
"""Widest and, inverted, narrowest crop."""


def view_count(augmentation: Augmentation) -> int:
    """How many different pictures of an image there are to train on."""
    return 1 if isinstance(augmentation, NoAugmentation) else augmentation.views


def view_of_epoch(augmentation: Augmentation, epoch: int) -> int:
    """The view that `epoch` (from 0) sees: they are cycled."""
    return epoch % view_count(augmentation)


def draw_view(hashes: Sequence[str], views: Views, seed: int, view: int) -> Draws:
    """What view number `view` does to images of these contents.

    The crop keeps a share of the area drawn evenly from `views.crop_scale` to 1, at an aspect
    ratio between 3:4 and 4:3 as far as it fits, and lies anywhere inside the image. Each image's
    draws depend on `seed`, `view` and its own content alone.
    """
    u = torch.from_numpy(np.stack([_uniforms(seed, view, content) for content in hashes]))
    area = views.crop_scale + (1.0 - views.crop_scale) * u[:, 0]
    stretch = torch.exp(0.5 * math.log(LARGEST_ASPECT) * (2.0 * u[:, 1] - 1.0))
    width = (area.sqrt() * stretch).clamp(max=1.0)
    height = (area.sqrt() / stretch).clamp(max=1.0)
    mirror = torch.where(u[:, 4] < 0.5, -1.0, 1.0) if views.flip else torch.ones(len(u))
    draws = Draws(
        centre_x=0.5 + (u[:, 2] - 0.5) * (1.0 - width),
        centre_y=0.5 + (u[:, 3] - 0.5) * (1.0 - height),
        width=width * mirror,
        height=height,
        brightness=1.0 + views.colour * (2.0 * u[:, 5] - 1.0),
        contrast=1.0 + views.colour * (2.0 * u[:, 6] - 1.0),
    )
    return Draws(*(d.float() for d in draws))


def _uniforms(seed: int, view: int, content: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Eight numbers in [0, 1)."""
    digest = hashlib.sha256(f"view\0{seed}\0{view}\0{content}".encode()).digest()
    return np.frombuffer(digest, dtype="<u4") / 2.0**32
