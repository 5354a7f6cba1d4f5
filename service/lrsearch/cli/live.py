"""A job's progress as it is drawn on a terminal."""

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lrsearch.cli.progress import JobProgress
from lrsearch.cli.sentences import Naming
from lrsearch.report.probe import probe_line
from lrsearch.report.text import duration, percent

_BAR_COLUMNS = 34

_SHOWN_TRIALS = 16
"""Running trials that are drawn; more would not fit a terminal."""


def drawing(progress: JobProgress, name: Naming) -> RenderableType:
    """State, task, a bar for the whole job, one for each running trial, and the best so far."""
    running = sorted(progress.running.values(), key=lambda trial: trial.number)
    bars = Table.grid(padding=(0, 2))
    bars.add_row(*_whole_job(progress))
    for trial in running[:_SHOWN_TRIALS]:
        bars.add_row(
            Text(f"  {name(trial.number)}"),
            ProgressBar(progress.epochs, trial.epoch, width=_BAR_COLUMNS),
            Text(f"epoch {trial.epoch}/{progress.epochs}"),
            Text(percent(trial.val_top1) if trial.val_top1 is not None else "", style="cyan"),
        )
    parts: list[RenderableType] = [_headline(progress)]
    if progress.probe is not None:
        parts.append(Text(f"Task: {probe_line(progress.probe)}", style="dim"))
    parts.append(bars)
    if len(running) > _SHOWN_TRIALS:
        parts.append(Text(f"  and {len(running) - _SHOWN_TRIALS} more", style="dim"))
    if (best := progress.best) is not None:
        expected = "" if best.expected_top1 is None else f", expected {percent(best.expected_top1)}"
        parts.append(
            Text("Best so far: ")
            .append(name(best.trial), style="bold")
            .append(f", validation top-1 {percent(best.val_top1)}{expected}")
        )
    return Group(*parts)


def _headline(progress: JobProgress) -> Text:
    job = progress.job
    line = Text(f"Job {job.name or job.id}", style="bold")
    line.append(f"  {progress.state}", style=state_style(progress.state))
    if progress.reason:
        line.append(f"  {progress.reason}", style="default not bold")
    return line


def _whole_job(progress: JobProgress) -> tuple[RenderableType, ...]:
    share = progress.share
    planned = "" if progress.trials is None else f"/{progress.trials}"
    left = progress.seconds_left
    if progress.state == "finalising":
        remark = "testing the winner"
    else:
        remark = f"{duration(left)} left" if left else ""
    return (
        Text("trials", style="bold"),
        ProgressBar(1.0, share if share is not None else 0.0, width=_BAR_COLUMNS),
        Text(f"{len(progress.finished)}{planned} trials"),
        Text(remark, style="dim"),
    )


_STATE_STYLES = {
    "complete": "green",
    "ready": "green",
    "running": "cyan",
    "finalising": "cyan",
    "failed": "red",
    "rejected": "red",
    "diverged": "red",
    "cancelled": "yellow",
    "pruned": "yellow",
}


def state_style(state: str) -> str:
    """How a state of a job, a trial, a data set or a source model is coloured."""
    return _STATE_STYLES.get(state, "dim")
