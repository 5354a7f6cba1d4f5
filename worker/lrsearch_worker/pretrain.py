"""Source training: a ResNet-27 from random weights on a folder of labelled images."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lrsearch.contract.sources import Card, ResNet27, SourceSpec
from lrsearch_worker.data.augment import Draws, augmented, normalised, to_unit
from lrsearch_worker.data.batches import inference_batch
from lrsearch_worker.data.folders import FolderImages, held_out, read_folder
from lrsearch_worker.engine.schedule import Schedule, factor
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.weights import save


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that the trained weights depend on, besides the images."""

    width: float = 1.0
    norm: Literal["none", "batch"] = "batch"
    input_size: int = 32
    epochs: int = 30
    batch_size: int = 128
    rate: float = 0.01
    schedule: Schedule = "step"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    flip: bool = True
    shift: float = 0.125
    """Largest shift of the crop, as a share of the side."""
    zoom: float = 0.2
    """Largest relative change of the crop's width and height, each."""
    colour: float = 0.2
    """Largest relative change of brightness and contrast."""
    label_smoothing: float = 0.0
    held_out: float = 0.05
    """Share of the images of each label that measures accuracy and does not train."""
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "epochs": (1, math.inf),
            "batch_size": (2, math.inf),
            "rate": (0.0, 1e3),
            "momentum": (0.0, 1.0),
            "weight_decay": (0.0, 1.0),
            "shift": (0.0, 1.0),
            "zoom": (0.0, 0.9),
            "colour": (0.0, 1.0),
            "label_smoothing": (0.0, 1.0),
            "held_out": (0.0, 0.5),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                upper = f"{low:g} or more" if high == math.inf else f"from {low:g} to {high:g}"
                raise ValueError(f"{name} is {value:g}; it must be {upper}")


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the result goes, and what its card says."""

    name: str
    folder: Path
    half: bool = False
    data: list[str] = field(default_factory=list)
    licence: str = ""
    description: str = ""
    command: str = ""


class EpochReport(NamedTuple):
    """What is known after an epoch."""

    epoch: int
    """From 1."""
    loss: float
    """Mean training loss of the epoch."""
    top1: float | None
    """Accuracy on the held-out images; `None` if there are none."""
    images_per_second: float
    seconds: float
    """Time that the epoch's training took."""


class Watcher:
    """What `pretrain` tells while it works; does nothing by default."""

    def decoded(self, done: int, total: int) -> None:
        """`done` of `total` images are decoded."""

    def resumed(self, epoch: int) -> None:
        """A checkpoint was found; `epoch` epochs are done."""

    def step(self, epoch: int, done: int, total: int, loss: float) -> None:
        """`done` of `total` images of an epoch (from 1) are trained on."""

    def epoch(self, report: EpochReport) -> None:
        """An epoch is done."""


def pretrain(
    images: Path,
    training: Training,
    output: Output,
    device: torch.device,
    watcher: Watcher | None = None,
) -> Path:
    """Train a source model on `images` and write `NAME.safetensors`.

    After each epoch a checkpoint is written to the output folder. A later call with the same
    images and `training` goes on from it, and ends with the same weights as one that was never
    interrupted: order and augmentation depend on the seed and the epoch alone.

    Returns:
        The path of the weights.

    Raises:
        ValueError: The images are unfit, or the checkpoint there is of another training.
        FloatingPointError: The loss is no longer finite.
    """
    watcher = watcher or Watcher()
    output.folder.mkdir(parents=True, exist_ok=True)
    data = read_folder(images, training.input_size, output.folder / "cache", watcher.decoded)
    mask = held_out(data, training.held_out, training.seed)
    train, test = np.flatnonzero(~mask), np.flatnonzero(mask)

    architecture = ResNet27(width=training.width, norm=training.norm)
    network = build(architecture, len(data.label_names), training.seed)
    network.to(device).to(memory_format=torch.channels_last)
    run = _Run(data, training, network, device)
    checkpoint = output.folder / f"{output.name}.checkpoint"
    done, top1 = run.restore(checkpoint)
    if done:
        watcher.resumed(done)
    for epoch in range(done, training.epochs):
        started = time.perf_counter()
        loss = run.train_epoch(train, epoch, watcher)
        seconds = time.perf_counter() - started
        top1 = run.top1(test)
        run.keep(checkpoint, epoch + 1, top1)
        watcher.epoch(EpochReport(epoch + 1, loss, top1, len(train) / seconds, seconds))

    card = Card(
        description=output.description,
        data=output.data,
        licence=output.licence,
        recipe=asdict(training),
        images=len(train),
        labels=len(data.label_names),
        top1=top1,
        command=output.command,
    )
    spec = SourceSpec(
        architecture=architecture,
        input_size=training.input_size,
        labels=data.label_names,
        card=card,
    )
    path = output.folder / f"{output.name}.safetensors"
    save(path, network.state_dict(), spec, half=output.half)
    return path


class _Run:
    """Network, optimiser and data of a training."""

    def __init__(
        self, data: FolderImages, training: Training, network: StagedNetwork, device: torch.device
    ) -> None:
        self.data = data
        self.training = training
        self.network = network
        self.device = device
        self.spec = SourceSpec(architecture=ResNet27(), input_size=training.input_size)
        self.optimiser = torch.optim.SGD(
            _decayed_and_not(network, training.weight_decay),
            lr=training.rate,
            momentum=training.momentum,
            nesterov=training.nesterov and training.momentum > 0.0,
            foreach=True,
        )

    def train_epoch(self, train: NDArray[np.int64], epoch: int, watcher: Watcher) -> float:
        """One pass over `train`; the mean loss."""
        training = self.training
        generator = torch.Generator().manual_seed(training.seed * 1_000_003 + epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = training.rate * factor(training.schedule, epoch, training.epochs)
        self.network.train()
        losses = 0.0
        seen = 0
        order = train[torch.randperm(len(train), generator=generator).numpy()]
        for batch in _full_batches(order, training.batch_size):
            pixels, labels = self._load(batch)
            images = augmented(to_unit(pixels), _draw(len(batch), training, generator, self.device))
            loss = F.cross_entropy(
                self.network(self._normalised(images)),
                labels,
                label_smoothing=training.label_smoothing,
            )
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimiser.step()
            value = loss.item()
            if not np.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value} in epoch {epoch + 1} after {seen} images; "
                    f"try a rate below {training.rate:g}"
                )
            losses += value * len(batch)
            seen += len(batch)
            watcher.step(epoch + 1, seen, len(order), losses / seen)
        return losses / seen

    @torch.inference_mode()
    def top1(self, test: NDArray[np.int64]) -> float | None:
        """Accuracy on the images `test`."""
        if len(test) == 0:
            return None
        self.network.eval()
        right = 0
        size = inference_batch(self.training.input_size)
        for start in range(0, len(test), size):
            pixels, labels = self._load(test[start : start + size])
            logits = self.network(self._normalised(to_unit(pixels)))
            right += int((logits.argmax(dim=1) == labels).sum())
        return right / len(test)

    def keep(self, path: Path, epochs_done: int, top1: float | None) -> None:
        """Write a checkpoint, atomically."""
        partial = path.with_name(path.name + ".partial")
        state = {
            "arguments": self._arguments(),
            "epochs_done": epochs_done,
            "top1": top1,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> tuple[int, float | None]:
        """Go on from a checkpoint, if there is one; the epochs done, and their accuracy."""
        if not path.exists():
            return 0, None
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        ours, theirs = self._arguments(), state["arguments"]
        if differing := sorted(k for k in ours | theirs if ours.get(k) != theirs.get(k)):
            was = ", ".join(f"{k} {theirs.get(k)} (now {ours.get(k)})" for k in differing)
            raise ValueError(
                f"{path} is the checkpoint of another training: {was}; "
                "repeat its arguments, delete it, or choose another name or output folder"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["epochs_done"]), state["top1"]

    def _arguments(self) -> dict[str, Any]:
        return {**asdict(self.training), "images": self.data.fingerprint}

    def _load(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.data.pixels[indices]).to(self.device)
        labels = torch.from_numpy(self.data.labels[indices]).to(self.device)
        return pixels, labels

    def _normalised(self, images: Tensor) -> Tensor:
        images = normalised(images, self.spec.mean, self.spec.std)
        return images.contiguous(memory_format=torch.channels_last)


def _decayed_and_not(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: kernels and matrices decay; biases, slopes and normalisations do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _full_batches(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Batches of `size`; what is left over sits out this epoch, unless it is all there is."""
    if len(order) <= size:
        yield order
        return
    for start in range(0, len(order) - size + 1, size):
        yield order[start : start + size]


def _draw(
    images: int, training: Training, generator: torch.Generator, device: torch.device
) -> Draws:
    """Draw a batch's augmentation on the CPU, so that it is the same on every device."""
    u = torch.rand(7, images, generator=generator).mul_(2.0).sub_(1.0)
    mirror = torch.where(u[4] < 0.0, -1.0, 1.0) if training.flip else torch.ones(images)
    draws = (
        0.5 + training.shift * u[0],
        0.5 + training.shift * u[1],
        (1.0 + training.zoom * u[2]) * mirror,
        1.0 + training.zoom * u[3],
        1.0 + training.colour * u[5],
        1.0 + training.colour * u[6],
    )
    return Draws(*(d.to(device) for d in draws))
