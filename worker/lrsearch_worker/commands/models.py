"""`lrsearch-worker models`: source models and their stages."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES
from lrsearch.contract.sources import Channels, ResNet27, SourceSpec
from lrsearch_worker.commands.errors import told_plainly
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.networks.unit import Norm
from lrsearch_worker.service import Service
from lrsearch_worker.settings import WorkerSettings
from lrsearch_worker.weights import Weights, complete_network, load, save

app = typer.Typer(no_args_is_help=True, help="Source models and their stages.")

Url = Annotated[str | None, typer.Option(help="Root of the service.")]
KeyFile = Annotated[Path | None, typer.Option(help="File with the API key.")]

out = Console()


@app.command("list")
def list_models(url: Url = None, key_file: KeyFile = None) -> None:
    """List the source models that are registered at the service."""
    with told_plainly(), _service(url, key_file) as service:
        models = list(service.source_models())
    table = Table("name", "state", "network", "pixels", "labels", "licence")
    for model in models:
        card = model.spec.card
        labels = "" if card.labels is None else str(card.labels)
        table.add_row(
            model.name,
            model.state,
            _network_name(model.spec),
            str(model.spec.input_size),
            labels,
            card.licence,
        )
    out.print(table)


@app.command("show")
def show_model(
    model: Annotated[str, typer.Argument(help="A safetensors file, or a name at the service.")],
    url: Url = None,
    key_file: KeyFile = None,
) -> None:
    """Show how a network is divided into stages, each of which has its own learning rate."""
    with told_plainly():
        path = Path(model)
        if path.is_file():
            weights = load(path)
            spec, network = weights.spec, complete_network(weights)
        else:
            with _service(url, key_file) as service:
                spec = service.source_model(model).spec
            network = build(spec.architecture, len(spec.labels or []) or 1, seed=0)
    out.print(f"{_network_name(spec)} at {spec.input_size} × {spec.input_size} pixels")
    if spec.card.description:
        out.print(spec.card.description, highlight=False)
    out.print(_stages_table(network.eval(), spec.input_size))


@app.command("convert")
def convert_model(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A .pt file.")],
    target: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="JSON of the whole specification; the options below are then unused."),
    ] = None,
    width: Annotated[float, typer.Option(help="Factor on the channels.")] = 1.0,
    norm: Annotated[Norm, typer.Option(help="After each convolution.")] = "batch",
    size: Annotated[int | None, typer.Option(help="Pixels a side that it was trained at.")] = None,
    mean: Annotated[
        tuple[float, float, float], typer.Option(help="Subtracted from pixels in [0, 1].")
    ] = (0.5, 0.5, 0.5),
    std: Annotated[tuple[float, float, float], typer.Option(help="Divides after that.")] = (
        0.5,
        0.5,
        0.5,
    ),
    label: Annotated[
        list[str] | None, typer.Option(help="Name of an output, in order; repeatable.")
    ] = None,
    half: Annotated[bool, typer.Option(help="Store the weights in 16 bits.")] = False,
) -> None:
    """Turn a PyTorch checkpoint into a safetensors file that can be registered.

    The checkpoint is a state dictionary, or holds one as `state_dict` or `model`. Nothing in it is
    run: what is no plain tensor is refused.
    """
    with told_plainly():
        given = _spec(spec, width, norm, size, mean, std, label)
        tensors = _state_dict(checkpoint)
        network = complete_network(Weights(given, tensors))
        save(target, network.state_dict(), given, half=half)
    out.print(f"Wrote {target}", soft_wrap=True)


def _spec(
    path: Path | None,
    width: float,
    norm: Norm,
    size: int | None,
    mean: Channels,
    std: Channels,
    labels: list[str] | None,
) -> SourceSpec:
    if path is not None:
        return SourceSpec.model_validate_json(path.read_bytes())
    if size is None:
        raise ValueError(
            "give --size, the pixels a side that the network was trained at, or --spec"
        )
    return SourceSpec(
        architecture=ResNet27(width=width, norm=norm),
        input_size=size,
        mean=mean,
        std=std,
        labels=labels,
    )


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The state dictionary in a PyTorch file, as float32 on the CPU."""
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise ValueError(
            f"{path} holds more than tensors, or is no PyTorch file: {reason}"
        ) from error
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


def _network_name(spec: SourceSpec) -> str:
    architecture = spec.architecture
    return f"{architecture.network}, width {architecture.width:g}, norm {architecture.norm}"


@torch.inference_mode()
def _stages_table(network: StagedNetwork, side: int) -> Table:
    """Layers with weights, parameters and the shape of one image's output, of each stage."""
    table = Table("stage", "layers", "parameters", "output", show_footer=True)
    activations = torch.zeros(1, 3, side, side)
    layers = parameters = 0
    for stage in STAGES:
        module = network.stage(stage)
        activations = module(activations)
        here = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules())
        size = sum(p.numel() for p in module.parameters())
        shape = " × ".join(str(n) for n in activations.shape[1:])
        table.add_row(stage, str(here), f"{size:,}", shape)
        layers, parameters = layers + here, parameters + size
    for column, total in zip(
        table.columns, ["all", str(layers), f"{parameters:,}", ""], strict=True
    ):
        column.footer = total
    return table


@contextmanager
def _service(url: str | None, key_file: Path | None) -> Iterator[Service]:
    given: dict[str, Any] = {"url": url, "key_file": key_file}
    settings = WorkerSettings(**{k: v for k, v in given.items() if v is not None})
    service = Service(settings.url, settings.key())
    try:
        yield service
    finally:
        service.close()
