"""`lrsearch-worker models`: source models and their stages."""

import json as text
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from lrsearch.contract.sources import Architecture, ResNet27, SourceSpec
from lrsearch_worker.commands.architectures import architecture_of, describe
from lrsearch_worker.commands.convert import convert_model
from lrsearch_worker.commands.errors import told_plainly
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.library import usual_input
from lrsearch_worker.networks.outline import StageOutline, outline
from lrsearch_worker.networks.staged import StagedNetwork
from lrsearch_worker.service import Service
from lrsearch_worker.settings import WorkerSettings
from lrsearch_worker.weights import complete_network, load

USUAL_SIZE = 224
"""Pixels a side at which a ResNet-27 is shown where nothing else says."""

app = typer.Typer(no_args_is_help=True, help="Source models and their stages.")
app.command("convert")(convert_model)

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
            describe(model.spec.architecture),
            str(model.spec.input_size),
            labels,
            card.licence,
        )
    out.print(table)


@app.command("show")
def show_model(
    model: Annotated[
        str,
        typer.Argument(
            help="A network (resnet27, torchvision:NAME, timm:NAME), a safetensors file, or the "
            "name of a source model at the service."
        ),
    ],
    size: Annotated[
        int | None, typer.Option(help="Pixels a side of the image shown to it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    url: Url = None,
    key_file: KeyFile = None,
) -> None:
    """Show how a network is divided into stages, each of which has its own learning rate."""
    with told_plainly():
        spec, architecture, network = _found(Path(model), url, key_file)
        side = size or (spec.input_size if spec else _usual_size(architecture))
        stages = outline(network, side)
    if json:
        out.print_json(_as_json(architecture, side, network.shares_prefix, stages))
        return
    out.print(f"{describe(architecture)} at {side} × {side} pixels", highlight=False)
    if spec and spec.card.description:
        out.print(spec.card.description, highlight=False)
    out.print(_stages_table(stages))
    if not network.shares_prefix:
        out.print("Several tensors pass between its stages: frozen ones are computed each time.")


def _found(
    model: Path, url: str | None, key_file: Path | None
) -> tuple[SourceSpec | None, Architecture, StagedNetwork]:
    """The network of a file, of an architecture's name, or of a source model at the service."""
    if model.is_file():
        weights = load(model)
        return weights.spec, weights.spec.architecture, complete_network(weights)
    if (architecture := architecture_of(str(model))) is not None:
        return None, architecture, build(architecture, 1000, seed=0)
    with _service(url, key_file) as service:
        spec = service.source_model(str(model)).spec
    return spec, spec.architecture, build(spec.architecture, len(spec.labels or []) or 1, seed=0)


def _usual_size(architecture: Architecture) -> int:
    return USUAL_SIZE if isinstance(architecture, ResNet27) else usual_input(architecture).size


def _stages_table(stages: list[StageOutline]) -> Table:
    """Parts, layers with weights, parameters and the shape of one image's output, of each stage."""
    layers, parameters = sum(s.layers for s in stages), sum(s.parameters for s in stages)
    table = Table(box=box.SIMPLE, show_footer=True)
    table.add_column("stage", "all")
    table.add_column("parts")
    table.add_column("layers", str(layers), justify="right")
    table.add_column("parameters", f"{parameters:,}", justify="right")
    table.add_column("share", "100.0 %", justify="right")
    table.add_column("output", no_wrap=True)
    for stage in stages:
        table.add_row(
            stage.stage,
            _shortened(stage.parts),
            str(stage.layers),
            f"{stage.parameters:,}",
            f"{stage.share:.1%}".replace("%", " %"),
            ", ".join(" × ".join(map(str, shape)) for shape in stage.outputs),
        )
    return table


def _shortened(names: tuple[str, ...], shown: int = 3) -> str:
    if len(names) <= shown:
        return ", ".join(names)
    return f"{', '.join(names[: shown - 1])}, … {names[-1]} ({len(names)})"


def _as_json(
    architecture: Architecture, side: int, is_chain: bool, stages: list[StageOutline]
) -> str:
    return text.dumps(
        {
            "architecture": architecture.model_dump(),
            "input_size": side,
            "is_chain": is_chain,
            "stages": [stage._asdict() for stage in stages],
        }
    )


@contextmanager
def _service(url: str | None, key_file: Path | None) -> Iterator[Service]:
    given: dict[str, Any] = {"url": url, "key_file": key_file}
    settings = WorkerSettings(**{k: v for k, v in given.items() if v is not None})
    service = Service(settings.url, settings.key())
    try:
        yield service
    finally:
        service.close()
