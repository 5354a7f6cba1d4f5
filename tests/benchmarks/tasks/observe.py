"""What only a benchmark sees: each trial on test images, and on the audit split."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrsearch.contract.leases import TrialWork
from lrsearch.contract.rates import STAGES
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.data.augment import normalised, to_unit
from lrsearch_worker.data.batches import inference_batch
from lrsearch_worker.data.images import Images, ImageStore
from lrsearch_worker.engine.finetune import Finetune
from lrsearch_worker.engine.metrics import evaluate

TEST_EPOCHS: Final = (1, 2, 5, 10)
"""Epochs after which the test images are looked at, beside the last."""


@dataclass
class Seen:
    """What was seen of one trial."""

    validation_images: int | None = None
    test: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    """By epoch: which test images are right."""
    audit: NDArray[np.bool_] | None = None
    """Which audit images are right after the last epoch."""


class Auditor:
    """Looks at finetunes while a worker runs them, for as long as jobs come one after another.

    Args:
        cache: Folder for decoded audit splits.
    """

    def __init__(self, cache: Path) -> None:
        self._store = ImageStore(cache)
        self._lock = Lock()
        self._archive = Path()
        self._images: Images | None = None
        self._seen: dict[str, Seen] = {}

    def begin(self, archive: Path) -> None:
        """The trials that come now are of the task with this audit split; forget the others."""
        with self._lock:
            self._archive, self._images, self._seen = archive, None, {}

    def of(self, trial_id: str) -> Seen:
        """What was seen of a trial."""
        return self._seen.get(trial_id, Seen())

    def __call__(self, work: TrialWork, finetune: Finetune, metrics: EpochMetrics) -> None:
        """Is called after each epoch of a trial."""
        last = metrics.epoch == finetune.task.recipe.epochs
        with self._lock:
            seen = self._seen.setdefault(work.id, Seen(finetune.task.size("validation")))
        if (last or metrics.epoch in TEST_EPOCHS) and finetune.task.size("test"):
            seen.test[metrics.epoch] = finetune.task.score(_whole(finetune), "test").correct
        if last:
            audit = self._audit(finetune.task.images.side)
            if audit.label_names != finetune.task.images.label_names:
                raise ValueError(f"{self._archive} has other labels than the task of the trial")
            seen.audit = evaluate(_whole(finetune), _batches(audit, finetune)).correct

    def _audit(self, side: int) -> Images:
        with self._lock:
            if self._images is None or self._images.side != side:
                self._images = self._store.images(self._archive, self._archive.stem, side)
            return self._images


def _whole(finetune: Finetune) -> Callable[[Tensor], Tensor]:
    """From images to logits."""
    return partial(finetune.network.run, first=0, end=len(STAGES))


def _batches(images: Images, finetune: Finetune) -> Iterator[tuple[Tensor, Tensor]]:
    """All images, as they are, normalised as the source model wants them."""
    spec, device = finetune.task.spec, finetune.task.device
    size = inference_batch(images.side)
    for start in range(0, len(images.labels), size):
        part = slice(start, start + size)
        pixels = torch.from_numpy(np.array(images.pixels[part])).to(device)
        inputs = normalised(to_unit(pixels), spec.mean, spec.std)
        labels = torch.from_numpy(images.labels[part]).to(device)
        yield inputs.contiguous(memory_format=torch.channels_last), labels
