"""A task with its images and weights loaded: what all the trials of a job have in common."""

import copy
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Final

import torch
from torch import Tensor

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.recipes import Recipe, Views
from lrsearch.contract.sources import Card, SourceSpec
from lrsearch_worker.data.augment import Draws, augmented, normalised, to_unit
from lrsearch_worker.data.batches import batches, inference_batch
from lrsearch_worker.data.images import Images
from lrsearch_worker.data.splits import Indices, SplitName, split
from lrsearch_worker.data.views import draw_view, view_count, view_of_epoch
from lrsearch_worker.device import out_of_memory
from lrsearch_worker.engine.activations import ActivationStore, Source
from lrsearch_worker.engine.memory import step_bytes
from lrsearch_worker.engine.metrics import Evaluation, evaluate
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.seeds import replicate_seed
from lrsearch_worker.weights import Weights, WeightsError, complete_network, source_network

STORE_BYTES: Final = 512 * 2**20
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")

Batch = tuple[Tensor, Tensor]
"""What enters a stage, `(images, …)` float32, and labels, `(images,)` int64; on the device."""


def input_size(recipe: Recipe, spec: SourceSpec) -> int:
    """Pixels a side that a job's images are resized to."""
    return recipe.input_size or spec.input_size


class LoadedTask:
    """Splits, batches and the source network of a job; its trials of a replicate share one object.

    Args:
        images: The target, decoded at `input_size(recipe, spec)`.
        source: The source model's weights; a bare specification means random initialisation.
        recipe: What the trials have in common.
        images_per_label: Training images a label; `None` takes all there are.
        device: What computes.
        store_bytes: Memory for activations that several epochs or trials need.
        replicate: 0, or another number for another head, order and views in the same splits.

    Raises:
        ValueError: The images have another size, too few images for the splits, or a size that
            the network cannot take.
        WeightsError: The weights do not fit their architecture.
    """

    def __init__(
        self,
        images: Images,
        source: Weights | SourceSpec,
        recipe: Recipe,
        images_per_label: int | None = None,
        device: torch.device | None = None,
        store_bytes: int = STORE_BYTES,
        replicate: int = 0,
    ) -> None:
        self.images = images
        self.recipe = recipe
        self.device = device or torch.device("cpu")
        self.spec = source.spec if isinstance(source, Weights) else source
        side = input_size(recipe, self.spec)
        if images.side != side:
            raise ValueError(f"the images have {images.side} pixels a side instead of {side}")
        self.indices = split(
            images.hashes, images.labels, recipe.splits, recipe.seed, images_per_label
        )
        self._seed = replicate_seed(recipe.seed, replicate)
        network = source_network(source, len(images.label_names), self._seed)
        network.check_input(side)
        self._network = self._placed(network)
        self._store = ActivationStore(self._network, store_bytes, inference_batch(side))
        self._store_bytes = store_bytes
        self._fits: dict[int, bool] = {}
        self._draws: dict[int, Draws] = {}
        self._resident: dict[SplitName, Tensor] = {}
        self._labels = {
            name: torch.from_numpy(images.labels[self._indices(name)]).to(self.device)
            for name in SPLITS
        }

    def size(self, name: SplitName) -> int:
        """Images in a split."""
        return len(self._indices(name))

    @cached_property
    def step_bytes(self) -> int:
        """About the memory that a step of a trial takes beside its weights."""
        image = torch.zeros(1, 3, self.images.side, self.images.side, device=self.device)
        return step_bytes(self._network, image, self.recipe.batch_size)

    def network(self, frozen_prefix: int = 0) -> StagedNetwork:
        """A network to finetune: the source with a new head, on the device.

        The head depends on the recipe's seed and the replicate alone, so that all its trials start
        from the same. The tensors of the first `frozen_prefix` stages are the source's own, which
        nobody may change; all others are copies.
        """
        frozen = [self._network.stage(stage) for stage in STAGES[:frozen_prefix]]
        tensors = [t for stage in frozen for t in (*stage.parameters(), *stage.buffers())]
        network = copy.deepcopy(self._network, {id(tensor): tensor for tensor in tensors})
        for stage in STAGES[frozen_prefix:]:
            network.stage(stage).requires_grad_(True)
        return network

    def shared_prefix(self, rates: StageRates) -> int:
        """How many frozen stages from the input on need not be run by each trial."""
        return rates.frozen_prefix if self._network.shares_prefix else 0

    def training_batches(self, epoch: int, prefix: int) -> Iterator[Batch]:
        """What enters stage `prefix` in `epoch` (from 0), where the stages before are frozen."""
        recipe = self.recipe
        augmentation = recipe.augmentation
        view = view_of_epoch(augmentation, epoch) if isinstance(augmentation, Views) else None
        order = batches(self.size("train"), recipe.batch_size, self._seed, epoch)
        for number, positions in enumerate(order):
            yield self._batch("train", view, prefix, positions, (epoch, number))

    def unaugmented_batches(self, positions: Tensor, prefix: int, size: int) -> Iterator[Batch]:
        """What enters stage `prefix` for training images as they are, `size` at a time.

        Args:
            positions: Which of the training split, int64.
            prefix: Frozen stages before.
            size: Images in a batch; the last may be smaller.
        """

        def source(wanted: Tensor) -> Tensor:
            return self._images("train", None, wanted)

        count = self.size("train")
        stored = len(positions) == count and self._storable(prefix, source)
        for start in range(0, len(positions), size):
            part = positions[start : start + size].to(self.device)
            if stored:
                inputs = self._store.read(prefix, ("train", None), source, count, part)
            else:
                inputs = self._store.compute(prefix, source, part)
            yield inputs, self._labels["train"][part]

    def score(
        self, network: Callable[[Tensor], Tensor], name: SplitName, prefix: int = 0
    ) -> Evaluation:
        """Evaluate the stages from `prefix` on, in evaluation mode; training images as they are.

        Where memory does not suffice, smaller batches are tried.

        Raises:
            ValueError: The split has no images.
        """
        batch_size = inference_batch(self.images.side)
        while True:
            try:
                return evaluate(network, self._evaluation_batches(name, prefix, batch_size))
            except (MemoryError, RuntimeError) as error:
                if batch_size == 1 or not out_of_memory(error):
                    raise
            batch_size //= 2

    def evaluate(self, weights: Weights, name: SplitName) -> Evaluation:
        """Evaluate finetuned weights, with their own head, on a split.

        Raises:
            ValueError: The split has no images.
            WeightsError: The weights do not fit their network, or were made for other labels or
                another input.
        """
        expected = self.result_spec()
        for field in ("labels", "input_size", "mean", "std"):
            ours, theirs = getattr(expected, field), getattr(weights.spec, field)
            if ours != theirs:
                raise WeightsError(f"the weights are for {field} {theirs}; the task has {ours}")
        network = self._placed(complete_network(weights))
        return self.score(network.eval(), name)

    def result_spec(self, card: Card | None = None) -> SourceSpec:
        """What a finetuned network of this task says of itself; it can be a source in its turn."""
        return SourceSpec(
            architecture=self.spec.architecture,
            input_size=self.images.side,
            mean=self.spec.mean,
            std=self.spec.std,
            labels=self.images.label_names,
            card=card or Card(),
        )

    def _placed(self, network: StagedNetwork) -> StagedNetwork:
        """On the device; in channels-last order, which is the faster one, but not on MPS."""
        network = network.to(self.device)
        if self.device.type == "mps":
            return network
        return network.to(memory_format=torch.channels_last)

    def _indices(self, name: SplitName) -> Indices:
        indices: Indices = getattr(self.indices, name)
        return indices

    def _evaluation_batches(self, name: SplitName, prefix: int, size: int) -> Iterator[Batch]:
        for start in range(0, self.size(name), size):
            positions = torch.arange(start, min(start + size, self.size(name)))
            yield self._batch(name, None, prefix, positions, (start, size))

    def _batch(
        self,
        name: SplitName,
        view: int | None,
        prefix: int,
        positions: Tensor,
        when: tuple[int, int],
    ) -> Batch:
        """`view` is `None` for images as they are; `when` tells a split's batches apart."""

        def source(wanted: Tensor) -> Tensor:
            return self._images(name, view, wanted)

        positions = positions.to(self.device)
        labels = self._labels[name][positions]
        if name == "test" or not self._storable(prefix, source):
            images = partial(source, positions)
            return self._store.share(prefix, (name, view, when), images), labels
        inputs = self._store.read(prefix, (name, view), source, self.size(name), positions)
        return inputs, labels

    def _storable(self, prefix: int, source: Source) -> bool:
        """Whether all that the epochs need of this prefix fits into the store."""
        if prefix not in self._fits:
            pictures = self.size("train") * view_count(self.recipe.augmentation)
            needed = (pictures + self.size("validation")) * self._store.bytes_per_image(
                prefix, source
            )
            self._fits[prefix] = needed <= self._store_bytes
        return self._fits[prefix]

    def _images(self, name: SplitName, view: int | None, positions: Tensor) -> Tensor:
        """Normalised images of a split, after augmentation."""
        images = to_unit(self._pixels(name, positions))
        if view is not None:
            draws = self._view(view)
            images = augmented(images, Draws(*(d[positions.to(self.device)] for d in draws)))
        images = normalised(images, self.spec.mean, self.spec.std)
        return images.contiguous(memory_format=torch.channels_last)

    def _pixels(self, name: SplitName, positions: Tensor) -> Tensor:
        """uint8, on the device; CUDA keeps a split's where they fit beside the activations."""
        indices = self._indices(name)
        size = len(indices) * 3 * self.images.side**2
        if self.device.type == "cuda" and size <= self._store_bytes:
            if name not in self._resident:
                pixels = torch.from_numpy(self.images.pixels[indices])
                self._resident[name] = pixels.to(self.device)
            return self._resident[name][positions]
        chosen = indices[positions.cpu().numpy()]
        return torch.from_numpy(self.images.pixels[chosen]).to(self.device)

    def _view(self, view: int) -> Draws:
        """The draws of all training images."""
        views = self.recipe.augmentation
        if view not in self._draws and isinstance(views, Views):
            hashes = [self.images.hashes[i] for i in self.indices.train]
            draws = draw_view(hashes, views, self._seed, view)
            self._draws[view] = Draws(*(d.to(self.device) for d in draws))
        return self._draws[view]
