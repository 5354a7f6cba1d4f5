"""The command line of the worker; each command is a thin call."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console

from lrsearch_worker.commands.models import app as models
from lrsearch_worker.commands.run import run_command
from lrsearch_worker.engine.schedule import Schedule
from lrsearch_worker.networks.unit import Norm
from lrsearch_worker.pretrain import Output, Training, pretrain
from lrsearch_worker.pretrain_progress import PretrainProgress

app = typer.Typer(no_args_is_help=True, help="Finetunes for lrsearch, and makes source models.")
app.command("run")(run_command)
app.add_typer(models, name="models")

Device = Literal["cpu", "cuda", "mps"]

_DEFAULT = Training()


@app.command("pretrain")
def pretrain_command(
    images: Annotated[Path, typer.Argument(help="Folder of images, one folder a label.")],
    out: Annotated[Path, typer.Option(help="Folder for weights, checkpoint and cache.")],
    name: Annotated[str, typer.Option(help="Name of the source model.")] = "source",
    width: Annotated[float, typer.Option(help="Factor on the channels.")] = _DEFAULT.width,
    norm: Annotated[Norm, typer.Option(help="After each convolution.")] = _DEFAULT.norm,
    size: Annotated[int, typer.Option(help="Pixels a side.")] = _DEFAULT.input_size,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = _DEFAULT.epochs,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = _DEFAULT.batch_size,
    rate: Annotated[float, typer.Option(help="Initial learning rate.")] = _DEFAULT.rate,
    schedule: Annotated[Schedule, typer.Option(help="How the rate falls.")] = _DEFAULT.schedule,
    momentum: Annotated[float, typer.Option(help="Momentum of SGD.")] = _DEFAULT.momentum,
    nesterov: Annotated[bool, typer.Option(help="Nesterov's momentum.")] = _DEFAULT.nesterov,
    weight_decay: Annotated[
        float, typer.Option(help="L2 decay of kernels and matrices.")
    ] = _DEFAULT.weight_decay,
    flip: Annotated[bool, typer.Option(help="Mirror left and right.")] = _DEFAULT.flip,
    shift: Annotated[float, typer.Option(help="Largest shift, share of side.")] = _DEFAULT.shift,
    zoom: Annotated[float, typer.Option(help="Largest change of width, height.")] = _DEFAULT.zoom,
    colour: Annotated[
        float, typer.Option(help="Largest change of brightness and contrast.")
    ] = _DEFAULT.colour,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all labels.")
    ] = _DEFAULT.label_smoothing,
    held_out: Annotated[
        float, typer.Option(help="Share of each label that measures accuracy.")
    ] = _DEFAULT.held_out,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation.")] = _DEFAULT.seed,
    half: Annotated[bool, typer.Option(help="Store the weights in 16 bits.")] = False,
    data: Annotated[
        list[str] | None, typer.Option(help="Data set trained on, for the card; repeatable.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence, for the card.")] = "",
    description: Annotated[str, typer.Option(help="A sentence for the card.")] = "",
    device: Annotated[Device, typer.Option(help="What trains.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")] = None,
) -> None:
    """Train a source model; run again with the same arguments to go on after an interruption."""
    if threads is not None:
        torch.set_num_threads(threads)
    output = Output(
        name=name,
        folder=out,
        half=half,
        data=data or [],
        licence=licence,
        description=description,
        command=shlex.join(["lrsearch-worker", *sys.argv[1:]]),
    )
    console = Console()
    try:
        training = Training(
            width=width,
            norm=norm,
            input_size=size,
            epochs=epochs,
            batch_size=batch_size,
            rate=rate,
            schedule=schedule,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
            flip=flip,
            shift=shift,
            zoom=zoom,
            colour=colour,
            label_smoothing=label_smoothing,
            held_out=held_out,
            seed=seed,
        )
        with PretrainProgress(console, training.epochs) as progress:
            path = pretrain(images, training, output, torch.device(device), progress)
    except (ValueError, FloatingPointError) as error:
        console.print(f"[red]Error:[/] {error}", highlight=False)
        raise typer.Exit(1) from error
    console.print(f"Wrote {path}", soft_wrap=True)
