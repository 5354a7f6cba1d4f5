"""Events as sentences: what `watch` prints where no terminal can be drawn on."""

from collections.abc import Callable

from lrsearch.contract.events import (
    EpochFinished,
    Event,
    JobChanged,
    JobFinished,
    ProbeFinished,
    TrialFinished,
    TrialPutBack,
    TrialStarted,
)
from lrsearch.report.probe import probe_line
from lrsearch.report.text import budget_bounds, percent

Naming = Callable[[int], str]
"""Says what the trial of a number is: `scale 2.5`."""


def sentence(event: Event, name: Naming) -> str:
    """One line that says what happened."""
    at = event.at.astimezone().strftime("%H:%M:%S")
    return f"{at}  {_words(event, name)}"


def _words(event: Event, name: Naming) -> str:
    match event.body:
        case TrialStarted() as body:
            again = f", attempt {body.attempt}" if body.attempt > 1 else ""
            after = f", after epoch {body.epochs_done}" if body.epochs_done else ""
            return f"trial {body.trial} ({name(body.trial)}) started on {body.worker}{again}{after}"
        case EpochFinished() as body:
            return (
                f"trial {body.trial} epoch {body.metrics.epoch}/{body.epochs}: "
                f"validation top-1 {percent(body.metrics.val_top1)}, "
                f"training loss {body.metrics.train_loss:.3f}"
            )
        case TrialPutBack() as body:
            return f"trial {body.trial} waits again: {body.reason}"
        case TrialFinished() as body:
            score = "" if body.val_top1 is None else f": validation top-1 {percent(body.val_top1)}"
            if body.expected_top1 is not None:
                score += f", expected {percent(body.expected_top1)}"
            best = ", the best so far" if body.best else ""
            reason = f" ({body.reason})" if body.reason else ""
            return f"trial {body.trial} ({name(body.trial)}) {body.state}{score}{best}{reason}"
        case ProbeFinished() as body:
            if body.probe is None:
                return f"the task could not be probed: {body.reason}"
            return f"task probed: {probe_line(body.probe)}"
        case JobChanged() as body:
            paused = "paused, " if body.paused else ""
            bounds = budget_bounds(body.budget) or "none"
            return f"job changed: {paused}priority {body.priority}, budget: {bounds}"
        case JobFinished() as body:
            return f"job {body.state}" + (f": {body.reason}" if body.reason else "")
