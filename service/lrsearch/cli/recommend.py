"""`lrsearch recommend`."""

import json as json_library
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from lrsearch.cli.connection import client_of, job_of
from lrsearch.cli.console import out, print_json
from lrsearch.cli.errors import UsageError
from lrsearch.cli.options import Json
from lrsearch.cli.tables import plain_table
from lrsearch.contract.rates import STAGES
from lrsearch.contract.recommendations import FeatureEffect, Recommendation, RecommendationRequest
from lrsearch.report.text import percent, points, rate


def recommend(
    context: typer.Context,
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", help="Id or name of a job that was probed, or `last`."),
    ] = None,
    images_per_label: Annotated[
        int | None, typer.Option(help="Without a job: training images per label.")
    ] = None,
    labels: Annotated[int | None, typer.Option(help="Without a job: labels.")] = None,
    protocol: Annotated[
        Literal["last_layer", "uniform", "graduated", "staged"],
        typer.Option(help="Space of stage rates."),
    ] = "staged",
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of a finetune (default: the job's, or 20).")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images a step (default: the job's, or 32).")
    ] = None,
    count: Annotated[int, typer.Option(help="Most recommendations to give.")] = 5,
    json: Json = False,
) -> None:
    """Recommend stage rates for a task without running anything, and say why."""
    sizes = {"images_per_label": images_per_label, "labels": labels}
    if job is None and None in sizes.values():
        raise UsageError("Name a job that was probed, or give --images-per-label and --labels.")
    request: dict[str, Any] = {"protocol": {"name": protocol}, "count": count}
    request |= {name: size for name, size in sizes.items() if size is not None}
    recipe = {"epochs": epochs, "batch_size": batch_size}
    recipe = {name: value for name, value in recipe.items() if value is not None}
    with client_of(context) as client:
        known: dict[str, Any] = {}
        if job is not None:
            found = job_of(client, job)
            request["job"] = found.id
            known = found.request.recipe.model_dump(mode="json")
        if recipe:
            request["recipe"] = known | recipe
        answer = client.recommend(
            RecommendationRequest.model_validate_json(json_library.dumps(request))
        )
    print_json(answer) if json else out.print(recommendation(answer))


def recommendation(answer: Recommendation) -> RenderableType:
    """The rates in a table, then what they rest on in sentences."""
    table = plain_table(
        "#>", *(f"{stage}>" for stage in STAGES), "expected top-1>", "over the baseline>", "±>"
    )
    for number, each in enumerate(answer.recommended, start=1):
        table.add_row(
            str(number),
            *(rate(value) for _, value in each.rates.items()),
            percent(each.expected_top1),
            points(each.gain_points),
            f"{each.gain_deviation_points:.1f}",
            style="bold green" if number == 1 else "",
        )
    effects = answer.explanation.features
    lines = [_basis(answer)]
    lines += [_moved(effect) for effect in effects if effect.head_factor != 1.0]
    if still := [effect.name for effect in effects if effect.head_factor == 1.0]:
        lines.append(f"Of no effect on the first one's head rate: {', '.join(still)}.")
    nearest = ", ".join(
        f"{task.name} ({task.domain}, {task.similarity:.2f})"
        for task in answer.explanation.nearest_tasks
    )
    lines.append(f"Most like it of the known tasks: {nearest}.")
    return Group(table, Text("\n".join(lines)))


def _basis(answer: Recommendation) -> str:
    known = (
        "the probe of the task"
        if answer.based_on == "probe"
        else "its sizes alone; what only a probe knows is taken as in the mean of the known tasks"
    )
    return f"From {known} (prior {answer.prior_version}); ± is one standard deviation."


def _moved(effect: FeatureEffect) -> str:
    return (
        f"{effect.name} {effect.value:.3g} (typically {effect.typical_low:.3g} to "
        f"{effect.typical_high:.3g}): head rate × {effect.head_factor:.3g} against what it would "
        f"be at {effect.typical:.3g}."
    )
