"""`lrsearch-worker models convert`: checkpoints of PyTorch, torchvision and timm as ours."""

import pickle
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
import typer
from rich.console import Console
from safetensors import SafetensorError
from torch import Tensor

from lrsearch.contract.sources import Architecture, Channels, ResNet27, SourceSpec
from lrsearch_worker.commands.architectures import architecture_of
from lrsearch_worker.commands.errors import told_plainly
from lrsearch_worker.networks.library import Input, usual_input
from lrsearch_worker.networks.unit import Norm
from lrsearch_worker.weights import Weights, complete_network, save

out = Console()


def convert_model(
    checkpoint: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="A .pt, .pth or .safetensors file."),
    ],
    target: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="JSON of the whole specification; the options below are then unused."),
    ] = None,
    network: Annotated[
        str, typer.Option(help="What the weights fit: resnet27, torchvision:NAME or timm:NAME.")
    ] = "resnet27",
    width: Annotated[float, typer.Option(help="Factor on a ResNet-27's channels.")] = 1.0,
    norm: Annotated[Norm, typer.Option(help="After each of a ResNet-27's convolutions.")] = "batch",
    size: Annotated[
        int | None,
        typer.Option(help="Pixels a side that it was trained at; a library's network knows."),
    ] = None,
    mean: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Subtracted from pixels in [0, 1]; 0.5, or as the library has it."),
    ] = None,
    std: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Divides after that; 0.5, or as the library has it."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Name of an output, in order; repeatable.")
    ] = None,
    half: Annotated[bool, typer.Option(help="Store the weights in 16 bits.")] = False,
) -> None:
    """Turn a checkpoint into a safetensors file that can be registered.

    The checkpoint is a state dictionary, or holds one as `state_dict` or `model`. Nothing in it is
    run: what is no plain tensor is refused.
    """
    with told_plainly():
        if spec is not None:
            given = SourceSpec.model_validate_json(spec.read_bytes())
        else:
            architecture = _architecture(network, width, norm)
            given = _spec(architecture, size, mean, std, label)
        fitting = complete_network(Weights(given, _state_dict(checkpoint)))
        save(target, fitting.state_dict(), given, half=half)
    out.print(f"Wrote {target}", soft_wrap=True)


def _architecture(network: str, width: float, norm: Norm) -> Architecture:
    architecture = architecture_of(network)
    if architecture is None:
        raise ValueError(
            f"--network is '{network}'; it must be resnet27, torchvision:NAME or timm:NAME"
        )
    return ResNet27(width=width, norm=norm) if network == "resnet27" else architecture


def _spec(
    architecture: Architecture,
    size: int | None,
    mean: Channels | None,
    std: Channels | None,
    labels: list[str] | None,
) -> SourceSpec:
    half = (0.5, 0.5, 0.5)
    if not isinstance(architecture, ResNet27):
        usual = usual_input(architecture)
    elif size is not None:
        usual = Input(size, half, half)
    else:
        raise ValueError(
            "give --size, the pixels a side that the network was trained at, or --spec"
        )
    return SourceSpec(
        architecture=architecture,
        input_size=size or usual.size,
        mean=mean or usual.mean,
        std=std or usual.std,
        labels=labels,
    )


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The state dictionary in a file, as float32 on the CPU."""
    found = _read(path)
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} holds a {type(found).__name__}; it should be a state dictionary")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"{path} has a {type(tensor).__name__} under {name!r}; save the network's "
                "state_dict() alone"
            )
    return {name: t.float() if t.is_floating_point() else t for name, t in found.items()}


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file: {error}") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise ValueError(
            f"{path} holds more than tensors, or is no PyTorch file: {reason}"
        ) from error
