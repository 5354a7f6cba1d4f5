"""`lrsearch submit`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lrsearch.cli.connection import client_of
from lrsearch.cli.console import out, print_json
from lrsearch.cli.errors import UsageError
from lrsearch.cli.options import (
    BUDGET,
    EpochsBudget,
    Json,
    Priority,
    Seconds,
    TargetAccuracy,
    Trials,
)
from lrsearch.cli.request import job_request, scale_axis
from lrsearch.cli.target import target_data_set
from lrsearch.cli.watch import follow_to_end
from lrsearch.contract.jobs import Pruning, Strategy
from lrsearch.contract.workers import DeviceKind

_RECIPE = "Recipe: the same for every trial"
_SEARCH = "Search"


def submit(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(help="Folder or archive to upload, or the name of a data set."),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Source model (default: general).")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the job.")] = None,
    images_per_label: Annotated[
        int | None, typer.Option(help="Training images per label (default: all).")
    ] = None,
    protocol: Annotated[
        Literal["last_layer", "uniform", "graduated", "staged"] | None,
        typer.Option(
            help="Space of stage rates (default: staged to recommend, else graduated).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    strategy: Annotated[
        Strategy | None,
        typer.Option(help="How it is searched (default: recommend).", rich_help_panel=_SEARCH),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCALE",
            help="Scales of `graduated`: repeat it, or one range LOW:HIGH.",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    pruning: Annotated[
        Pruning | None,
        typer.Option(help="Which trials are stopped early.", rich_help_panel=_SEARCH),
    ] = None,
    confirm: Annotated[
        bool | None,
        typer.Option(
            "--confirm/--no-confirm",
            help="Finetune the winner once more with a second seed (default: if the budget pays).",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    trials: Trials = None,
    finetunes: Annotated[
        float | None,
        typer.Option(
            help="Finetune-equivalents at most (default to recommend: 3).", rich_help_panel=BUDGET
        ),
    ] = None,
    epochs_budget: EpochsBudget = None,
    seconds: Seconds = None,
    target_accuracy: TargetAccuracy = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a trial.", rich_help_panel=_RECIPE)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step.", rich_help_panel=_RECIPE)
    ] = None,
    schedule: Annotated[
        Literal["step", "cosine"] | None,
        typer.Option(help="How the rates fall.", rich_help_panel=_RECIPE),
    ] = None,
    augmentation: Annotated[
        Literal["none", "views"] | None,
        typer.Option(help="What an epoch sees of an image.", rich_help_panel=_RECIPE),
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Views of each image; implies views.", rich_help_panel=_RECIPE),
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Pixels a side.", rich_help_panel=_RECIPE)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of all that is random.", rich_help_panel=_RECIPE)
    ] = None,
    device: Annotated[
        DeviceKind | None, typer.Option(help="Kind of device for all trials.")
    ] = None,
    priority: Priority = None,
    webhook: Annotated[
        str | None, typer.Option(metavar="URL", help="Address that is told of the job's end.")
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(
            envvar="LRSEARCH_WEBHOOK_SECRET",
            show_envvar=True,
            help="Signs what is sent there; better in the environment.",
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="JSON of the whole request; options go before it."
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the job.")] = False,
    json: Json = False,
) -> None:
    """Submit a job, uploading its target where that is a folder or an archive."""
    if target is None and request is None:
        raise UsageError("Name a target: a folder, an archive or a data set (or give --request).")
    if watch and json:
        raise UsageError("Choose --watch or --json; `lrsearch show --json` gives the outcome.")
    options: dict[str, Any] = {
        "source_model": source,
        "name": name,
        "images_per_label": images_per_label,
        "protocol.name": protocol,
        "strategy": strategy,
        "pruning": pruning,
        "confirm": confirm,
        "budget.trials": trials,
        "budget.finetunes": finetunes,
        "budget.epochs": epochs_budget,
        "budget.seconds": seconds,
        "budget.target_accuracy": target_accuracy,
        "recipe.epochs": epochs,
        "recipe.batch_size": batch_size,
        "recipe.schedule": schedule,
        "recipe.augmentation.kind": "views" if augmentation is None and views else augmentation,
        "recipe.augmentation.views": views,
        "recipe.input_size": input_size,
        "recipe.seed": seed,
        "device": device,
        "priority": priority,
        "webhook.url": webhook,
        "webhook.secret": webhook_secret if webhook is not None else None,
    }
    if scale:
        options["protocol.name"] = protocol or "graduated"
        options["protocol.scale"] = scale_axis(scale)
    job_request(target, request, options)  # a mistake shows before anything is uploaded
    with client_of(context) as client:
        data_set = target_data_set(client, target).name if target is not None else None
        job = client.submit(job_request(data_set, request, options))
        if json:
            print_json(job)
            return
        out.print(f"Submitted job {job.id}.")
        if job.reason:
            out.print(f"It is {job.state}: {job.reason}")
        if watch:
            follow_to_end(client, job)
        else:
            out.print(f"Follow it: lrsearch watch {job.id}")
