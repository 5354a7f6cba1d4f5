"""Tables of what the service holds."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lrsearch.cli.live import state_style
from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job
from lrsearch.contract.rates import STAGES
from lrsearch.contract.results import Confirmation, Contender, Result
from lrsearch.contract.sources import SourceModel
from lrsearch.contract.trials import Trial
from lrsearch.contract.workers import Worker
from lrsearch.report.axis import point_label
from lrsearch.report.job_report import JobReport
from lrsearch.report.probe import probe_line
from lrsearch.report.text import budget_bounds, duration, p_value, percent, points, rate, size


def jobs_table(jobs: Iterable[Job]) -> Table:
    """One line a job."""
    table = plain_table(
        "id", "name", "state", "target", "source", "protocol", "trials>", "best>", "age>"
    )
    for job in jobs:
        planned = "" if job.trials_planned is None else f"/{job.trials_planned}"
        table.add_row(
            job.id,
            job.name or "",
            state(job.state),
            job.request.data_set,
            job.request.source_model,
            job.request.protocol.name,
            f"{job.trials_finished}{planned}",
            percent(job.best.val_top1) if job.best else "",
            age(job.created_at),
        )
    return table


def job_summary(job: Job) -> RenderableType:
    """A job's particulars, and why it waits or failed."""
    request, recipe = job.request, job.request.recipe
    images = request.images_per_label
    grid = _grid()
    grid.add_row("job", job.id + (f"  ({job.name})" if job.name else ""))
    grid.add_row("state", state(job.state).append(f"  {job.reason or ''}", style="default"))
    grid.add_row("target", f"{request.data_set}, {'all' if images is None else images} per label")
    grid.add_row("source model", request.source_model)
    grid.add_row("search", f"{request.protocol.name}, {request.strategy}")
    if bounds := budget_bounds(request.budget):
        grid.add_row("budget", bounds)
    grid.add_row(
        "recipe", f"{recipe.epochs} epochs, batches of {recipe.batch_size}, {recipe.schedule}"
    )
    if (delivery := job.delivery) is not None:
        error = f": {delivery.error}" if delivery.error else ""
        grid.add_row("webhook", f"{delivery.state}, attempt {delivery.attempts}{error}")
    if job.probe is not None:
        grid.add_row("probe", probe_line(job.probe))
    grid.add_row(
        "spent",
        f"{job.spent.trials} trials, {job.spent.epochs} epochs, {duration(job.spent.seconds)}",
    )
    return grid


def trials_table(job: Job, trials: Iterable[Trial]) -> Table:
    """One line a trial, with its six rates."""
    table = plain_table(
        "#>", "trial", *(f"{stage}>" for stage in STAGES), "state", "val top-1>", "time>"
    )
    for trial in trials:
        label = point_label(job.request.protocol, trial)
        table.add_row(
            str(trial.number),
            f"{label} (baseline)" if trial.baseline and label != "baseline" else label,
            *(rate(value) for _, value in trial.rates.items()),
            state(trial.state).append(f" {trial.reason or ''}".rstrip(), style="default"),
            percent(trial.val_top1) if trial.val_top1 is not None else "",
            duration(trial.seconds) if trial.seconds else "",
        )
    return table


def outcome(report: JobReport) -> RenderableType:
    """Baseline, every trial and the winner; validation for all, test for the two that had one."""
    if report.result is None:
        return Text(f"The job has no result: {report.job.reason or report.job.state}.")
    result = report.result
    contenders = {it.trial: it for it in (result.baseline, result.winner) if it is not None}
    table = plain_table("trial", "val top-1>", "test top-1>", "95 % interval>", "time>", "")
    for trial in report.trials:
        winner = trial.number == result.winner.trial
        remarks = ["winner"] if winner else []
        label = point_label(report.job.request.protocol, trial)
        remarks += ["baseline"] if trial.baseline and label != "baseline" else []
        table.add_row(
            label,
            percent(trial.val_top1) if trial.val_top1 is not None else state(trial.state),
            *_tested(contenders.get(trial.number)),
            duration(trial.seconds),
            ", ".join(remarks),
            style="bold green" if winner else "",
        )
    return Group(table, result_summary(result))


def result_summary(result: Result) -> RenderableType:
    """The outcome in a sentence, then gain, cost and rates."""
    grid = _grid()
    if result.gain_points is not None:
        how = "" if result.gain_p_value is None else f" ({p_value(result.gain_p_value)})"
        split = "test" if result.evaluation == "holdout" else "validation"
        grid.add_row("gain", f"{points(result.gain_points)} of {split} top-1{how}")
    if result.confirmation is not None:
        grid.add_row("second seed", _confirmed(result.confirmation))
    if result.winner.expected_top1 is not None:
        grid.add_row(
            "winner",
            f"of the highest expected top-1, {percent(result.winner.expected_top1)} "
            f"(validation {percent(result.winner.val_top1)})",
        )
    cost = result.cost
    grid.add_row(
        "cost",
        f"{cost.finetune_equivalents:.1f} finetunes, {cost.epochs} epochs, "
        f"{duration(cost.seconds)} of a worker",
    )
    grid.add_row(
        "rates", ", ".join(f"{stage} {rate(value)}" for stage, value in result.winner.rates.items())
    )
    return Group(Text(result.verdict, style="bold"), grid)


def data_sets_table(data_sets: Iterable[DataSet]) -> Table:
    """One line a data set."""
    table = plain_table("name", "state", "labels>", "images>", "id", "age>", "")
    for it in data_sets:
        statistics = it.statistics
        table.add_row(
            it.name,
            state(it.state),
            str(len(statistics.labels)) if statistics else "",
            str(statistics.images) if statistics else "",
            it.id,
            age(it.created_at),
            it.reason or "",
        )
    return table


def data_set_summary(data_set: DataSet) -> RenderableType:
    """A data set's particulars, its labels, and what is wrong with it."""
    grid = _grid()
    grid.add_row("data set", f"{data_set.name}  ({data_set.id})")
    grid.add_row("state", state(data_set.state).append(f"  {data_set.reason or ''}", "default"))
    for problem in data_set.problems:
        grid.add_row("problem", problem.message)
        for path in problem.paths:
            grid.add_row("", path)
    statistics = data_set.statistics
    if statistics is None:
        return grid
    spread = statistics.images_per_label
    grid.add_row(
        "images",
        f"{statistics.images} of {len(statistics.labels)} labels, {spread.min} to {spread.max} a "
        f"label, {statistics.distinct_images} distinct, {size(statistics.bytes)}",
    )
    widths, heights = statistics.widths, statistics.heights
    grid.add_row(
        "pixels", f"{widths.min} to {widths.max} wide, {heights.min} to {heights.max} high"
    )
    grid.add_row("formats", ", ".join(f"{n} {name}" for name, n in statistics.formats.items()))
    for file in statistics.unreadable:
        grid.add_row("left out", f"{file.path}: {file.reason}")
    grid.add_row("fingerprint", data_set.fingerprint or "")
    labels = plain_table("label", "images>", "distinct>")
    for count in statistics.labels:
        labels.add_row(count.label, str(count.images), str(count.distinct))
    return Group(grid, labels)


def source_models_table(models: Iterable[SourceModel]) -> Table:
    """One line a source model."""
    table = plain_table(
        "name", "state", "network", "input>", "weights>", "source top-1>", "what it knows"
    )
    for model in models:
        spec = model.spec
        table.add_row(
            model.name,
            state(model.state),
            spec.architecture.name,
            f"{spec.input_size} px",
            size(model.weights_bytes) if model.weights_sha256 else "random",
            percent(spec.card.top1) if spec.card.top1 is not None else "",
            model.reason or spec.card.description,
        )
    return table


def source_model_summary(model: SourceModel) -> RenderableType:
    """A source model's particulars and its card."""
    spec, card = model.spec, model.spec.card
    grid = _grid()
    grid.add_row("source model", f"{model.name}  ({model.id})")
    grid.add_row("state", state(model.state).append(f"  {model.reason or ''}", "default"))
    network = ", ".join(f"{name} {value}" for name, value in spec.architecture)
    grid.add_row("network", network)
    grid.add_row("input", f"{spec.input_size} px, mean {spec.mean}, deviation {spec.std}")
    grid.add_row("weights", size(model.weights_bytes) if model.weights_sha256 else "random")
    for name, value in (
        ("knows", card.description),
        ("trained on", ", ".join(card.data)),
        ("source top-1", percent(card.top1) if card.top1 is not None else ""),
        ("licence", card.licence),
        ("made by", card.command),
    ):
        if value:
            grid.add_row(name, value)
    return grid


def workers_table(workers: Iterable[Worker]) -> Table:
    """One line a worker."""
    table = plain_table("name", "device", "leases>", "seen>", "version", "id")
    for worker in workers:
        table.add_row(
            worker.name,
            f"{worker.device.kind}: {worker.device.name}",
            str(worker.leases),
            f"{age(worker.seen_at)} ago",
            worker.versions.get("lrsearch", ""),
            worker.id,
        )
    return table


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(name, style=state_style(name))


def age(since: datetime) -> str:
    """How long ago something was, in the largest unit that fits."""
    seconds = max((datetime.now(UTC) - since).total_seconds(), 0.0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _tested(contender: Contender | None) -> tuple[str, str]:
    if contender is None or contender.test_top1 is None:
        return "", ""
    interval = contender.test_interval
    bounds = "" if interval is None else f"{percent(interval.low)} to {percent(interval.high)}"
    return percent(contender.test_top1), bounds


def _confirmed(confirmation: Confirmation) -> str:
    interval = confirmation.difference_interval
    if confirmation.val_top1 is None or interval is None:
        return confirmation.state
    return (
        f"{percent(confirmation.val_top1)} of validation top-1, "
        f"{points(confirmation.difference_points)} from the first "
        f"(95 %: {interval.low:+.1f} to {interval.high:+.1f})"
    )


def plain_table(*columns: str) -> Table:
    """A table with these columns; `>` at a name's end aligns to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removesuffix(">"),
            justify="right" if column.endswith(">") else "left",
            no_wrap=column == "id",
            overflow="fold",
        )
    return table


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    return grid
