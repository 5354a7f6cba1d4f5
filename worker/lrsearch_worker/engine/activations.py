"""What enters a stage: computed by the frozen stages before it, and stored where it is small."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from threading import Lock

import torch
from torch import Tensor

from lrsearch_worker.engine.recent import Recent
from lrsearch_worker.networks.staged import StagedNetwork

Source = Callable[[Tensor], Tensor]
"""From positions (int64) to normalised images `(len(positions), 3, side, side)`."""


class ActivationStore:
    """Activations of images that no trial can change, since only frozen stages made them.

    A prefix of `k` stages gives what enters stage `k`; the prefix of 0 stages gives the
    normalised images. Reading from the store and computing anew give the same values up to
    rounding. Several threads may use one store.

    Args:
        network: The source; it is put into evaluation mode and must not change afterwards.
        limit_bytes: Memory of all that is stored; prefixes not used for longest give way.
        chunk: Images that are computed at a time while filling the store.
    """

    def __init__(self, network: StagedNetwork, limit_bytes: int, chunk: int) -> None:
        self._network = network.eval().requires_grad_(False)
        self._limit_bytes = limit_bytes
        self._chunk = chunk
        self._stored: OrderedDict[int, dict[Hashable, Tensor]] = OrderedDict()
        self._lock = Lock()
        self._recent = Recent(limit_bytes)

    def bytes_per_image(self, prefix: int, source: Source) -> int:
        """Memory of what one image gives."""
        one = self.compute(prefix, source, torch.zeros(1, dtype=torch.int64))
        return one.numel() * one.element_size()

    @torch.no_grad()
    def compute(self, prefix: int, source: Source, positions: Tensor) -> Tensor:
        """The activations of `positions`, computed anew."""
        return self._network.run(source(positions), 0, prefix)

    def share(self, prefix: int, key: Hashable, images: Callable[[], Tensor]) -> Tensor:
        """What enters stage `prefix` for a batch that others want at about the same time.

        It is kept for a while, and so is what enters the stages before.

        Args:
            prefix: Stages before, 0 to 5.
            key: Tells different batches apart.
            images: Gives the batch's normalised images.
        """
        return self._recent.get((prefix, key), partial(self._shared, prefix, key, images))

    @torch.no_grad()
    def _shared(self, prefix: int, key: Hashable, images: Callable[[], Tensor]) -> Tensor:
        if prefix == 0:
            return images()
        return self._network.run(self.share(prefix - 1, key, images), prefix - 1, prefix)

    def read(
        self, prefix: int, key: Hashable, source: Source, count: int, positions: Tensor
    ) -> Tensor:
        """The activations of `positions`; those of all `count` are computed and stored first.

        Args:
            prefix: Stages before, 0 to 5.
            key: Tells different sources apart.
            source: Gives the images.
            count: How many images the source has.
            positions: Which are wanted, int64, on the device.
        """
        with self._lock:
            stored = self._stored.setdefault(prefix, {})
            self._stored.move_to_end(prefix)
            if key not in stored:
                order = torch.arange(count)
                parts = [order[i : i + self._chunk] for i in range(0, count, self._chunk)]
                stored[key] = torch.cat([self._fresh(prefix, key, source, p) for p in parts])
                self._make_room()
            rows = stored[key][positions]
        return _maps(rows)

    @torch.no_grad()
    def _fresh(self, prefix: int, key: Hashable, source: Source, positions: Tensor) -> Tensor:
        """As `_rows`; from a shallower prefix's, where they are stored."""
        for first in range(prefix - 1, -1, -1):
            if key in (shallower := self._stored.get(first, {})):
                return _rows(self._network.run(_maps(shallower[key][positions]), first, prefix))
        return _rows(self.compute(prefix, source, positions))

    def _make_room(self) -> None:
        while len(self._stored) > 1 and self._used_bytes() > self._limit_bytes:
            self._stored.popitem(last=False)

    def _used_bytes(self) -> int:
        tensors = [t for stored in self._stored.values() for t in stored.values()]
        return sum(t.numel() * t.element_size() for t in tensors)


def _maps(rows: Tensor) -> Tensor:
    """From `_rows` to what a stage takes."""
    return rows.permute(0, 3, 1, 2) if rows.ndim == 4 else rows


def _rows(activations: Tensor) -> Tensor:
    """Maps with their channels last, so that taking rows keeps torch's channels-last order."""
    if activations.ndim == 4:
        return activations.permute(0, 2, 3, 1).contiguous()
    return activations
