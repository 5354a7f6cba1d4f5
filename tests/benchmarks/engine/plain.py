"""The script that a good practitioner writes: plain PyTorch and torchvision, nothing of lrsearch.

Finetunes one network after another at given stage rates: images from `ImageFolder` through
torchvision's transforms and a `DataLoader` with workers, SGD with a parameter group for each stage,
evaluation after each epoch. Stages of rate 0 are frozen whole: no gradients, evaluation mode.

    python -m tests.benchmarks.engine.plain FOLDER --trials "baseline,scale 1" --threads 2

Its last line of output is a JSON object: the seconds from here on (after torch is imported), and
the curve of each trial. FOLDER is laid out as `task.py` says; the order of the images in it makes
curves comparable with the engine's, epoch by epoch.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler
from torchvision import transforms
from torchvision.datasets import ImageFolder

Loader = DataLoader[tuple[Tensor, Tensor]]

STAGES = ("conv1", "conv2", "conv3", "conv4", "conv5", "head")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", required=True, help="names, separated by commas")
    parser.add_argument("--epochs", type=int, help="stop after so many; the schedule stays")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workers", type=int, default=0, help="processes of each DataLoader")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--fused", action="store_true", help="SGD's fused kernel")
    options = parser.parse_args()

    started = time.perf_counter()
    torch.set_num_threads(options.threads)
    task = json.loads((options.folder / "task.json").read_text())
    train, validation = loaders(options.folder, task, options.workers)
    trials = {}
    for name in options.trials.split(","):
        trials[name] = finetune(options, task, task["rates"][name], train, validation)
    print(json.dumps({"seconds": time.perf_counter() - started, "trials": trials}))


class Batches(Sampler[list[int]]):
    """The given batches of each epoch."""

    def __init__(self, order: list[list[list[int]]]) -> None:
        self.order = order
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.order[self.epoch])


def loaders(folder: Path, task: dict[str, Any], workers: int) -> tuple[Loader, Loader]:
    side = task["recipe"]["input_size"]
    transform = transforms.Compose(
        [
            transforms.Resize((side, side)),
            transforms.ToTensor(),
            transforms.Normalize(task["mean"], task["std"]),
        ]
    )
    options: dict[str, Any] = {"num_workers": workers, "persistent_workers": workers > 0}
    train = ImageFolder(str(folder / "train"), transform)
    validation = ImageFolder(str(folder / "validation"), transform)
    return (
        DataLoader(train, batch_sampler=Batches(task["order"]), **options),
        DataLoader(validation, batch_size=256, **options),
    )


def finetune(
    options: argparse.Namespace,
    task: dict[str, Any],
    rates: dict[str, float],
    train: Loader,
    validation: Loader,
) -> dict[str, Any]:
    started = time.perf_counter()
    recipe = task["recipe"]
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    network = load_network(task, options.folder).to(memory_format=layout)
    for stage in STAGES:
        network.get_submodule(stage).requires_grad_(rates[stage] > 0)
    groups = [
        {"params": network.get_submodule(stage).parameters(), "lr": rates[stage]}
        for stage in STAGES
        if rates[stage] > 0
    ]
    optimiser = torch.optim.SGD(
        groups,
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        fused=options.fused,
        foreach=not options.fused,
    )
    epochs = recipe["epochs"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda e: 0.1 ** (3 * e // epochs))
    curve = []
    phases = dict.fromkeys(("data", "forward", "backward", "optimiser", "evaluation"), 0.0)
    for epoch in range(options.epochs or epochs):
        epoch_started = time.perf_counter()
        for stage in STAGES:
            network.get_submodule(stage).train(rates[stage] > 0)
        assert isinstance(train.batch_sampler, Batches)
        train.batch_sampler.epoch = epoch
        total, count = torch.zeros(()), 0
        lap = time.perf_counter()
        for images, labels in train:
            lap = add_lap(phases, "data", lap)
            optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(network(images.contiguous(memory_format=layout)), labels)
            lap = add_lap(phases, "forward", lap)
            loss.backward()  # type: ignore[no-untyped-call]
            lap = add_lap(phases, "backward", lap)
            optimiser.step()
            total += loss.detach() * len(labels)
            count += len(labels)
            lap = add_lap(phases, "optimiser", lap)
        schedule.step()
        val_loss, val_top1 = evaluate(network, validation, layout)
        add_lap(phases, "evaluation", lap)
        train_loss = total.item() / count
        curve.append(
            {
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_top1": val_top1,
                "seconds": time.perf_counter() - epoch_started,
            }
        )
    return {"seconds": time.perf_counter() - started, "phases": phases, "curve": curve}


@torch.inference_mode()
def evaluate(
    network: nn.Module, loader: Loader, layout: torch.memory_format
) -> tuple[float, float]:
    network.eval()
    loss, right, count = 0.0, 0, 0
    for images, labels in loader:
        logits = network(images.contiguous(memory_format=layout))
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(1) == labels).sum())
        count += len(labels)
    return loss / count, right / count


def add_lap(phases: dict[str, float], phase: str, since: float) -> float:
    now = time.perf_counter()
    phases[phase] += now - since
    return now


def load_network(task: dict[str, Any], folder: Path) -> nn.Module:
    """The source's five inner stages and the new head."""
    weights = safetensors.torch.load_file(task["source"])
    inner = {name: w.float() if w.is_floating_point() else w for name, w in weights.items()}
    head = safetensors.torch.load_file(folder / "head.safetensors")
    network = ResNet27(task["width"], task["labels"])
    network.load_state_dict(inner | {f"head.{name}": w for name, w in head.items()})
    return network


class ResNet27(nn.Module):
    """27 convolutions with batch normalisation and PReLU, in five stages."""

    def __init__(self, width: float, labels: int) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = (round(c * width) for c in (32, 64, 128, 256, 512))
        self.conv1 = nn.Sequential(Unit(3, c0), Unit(c0, c1), nn.MaxPool2d(2))
        self.conv2 = nn.Sequential(Block(c1), Unit(c1, c2), nn.MaxPool2d(2))
        self.conv3 = nn.Sequential(*(Block(c2) for _ in range(2)), Unit(c2, c3), nn.MaxPool2d(2))
        self.conv4 = nn.Sequential(*(Block(c3) for _ in range(5)), Unit(c3, c4), nn.MaxPool2d(2))
        self.conv5 = nn.Sequential(
            *(Block(c4) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(c4, labels)

    def forward(self, x: Tensor) -> Tensor:
        for stage in STAGES:
            x = self.get_submodule(stage)(x)
        return x


class Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.conv(x)))
        return activated


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.second = Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.second(self.first(x))
        return x + branch


if __name__ == "__main__":
    main()
