"""The best settings of the script on this machine, by short runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean
from typing import Final

from tests.benchmarks.engine.runs import CORES, Run, Settings, one_process, processes
from tests.benchmarks.engine.task import GRADUATED

_EPOCHS: Final = 4
"""The first of which is not counted: it warms up."""

Say = Callable[[str], None]


def best_settings(folder: Path, epochs: int, say: Say) -> tuple[Settings, Settings]:
    """Settings for one process a trial, and for all trials in one process.

    Layout and optimiser are chosen first, then threads, loader processes and how many trials
    run at a time.

    Args:
        folder: The task.
        epochs: Of the whole finetune, over which the start of a process is spread.
        say: Told of each setting tried.
    """

    def seconds_alone(settings: Settings) -> float:
        return _epoch_seconds(one_process(folder, GRADUATED[:1], settings, *_short()))

    def seconds_apart(settings: Settings) -> float:
        run = processes(folder, GRADUATED[: settings.processes], settings, *_short())
        per_trial = run.start_seconds + epochs * _epoch_seconds(run) / settings.processes
        return per_trial / epochs

    plainest = Settings(CORES, 0, channels_last=False, fused=False)
    kernels = [
        plainest._replace(channels_last=c, fused=f) for c in (False, True) for f in (False, True)
    ]
    best = _best("one process", kernels, seconds_alone, say)
    threads = sorted({1, CORES})
    loading = [best._replace(threads=t, workers=w) for t in threads for w in (0, 1, 2)]
    together = _best("one process", loading, seconds_alone, say)
    at_a_time = sorted({1, min(2, CORES)})
    sharing = [
        best._replace(threads=CORES // n, workers=w, processes=n)
        for n in at_a_time
        for w in (0, 1, 2)
    ]
    apart = _best("processes", sharing, seconds_apart, say)
    return apart, together


def _short() -> tuple[str, str]:
    return "--epochs", str(_EPOCHS)


def _best(
    what: str, candidates: Iterable[Settings], seconds: Callable[[Settings], float], say: Say
) -> Settings:
    tried = {}
    for settings in candidates:
        tried[settings] = seconds(settings)
        say(f"{what}: {tried[settings]:.3f} s an epoch with {settings}")
    return min(tried, key=lambda settings: tried[settings])


def _epoch_seconds(run: Run) -> float:
    """Of the fastest epoch, which is the least disturbed one; the mean of trials side by side."""
    fastest: list[float] = [
        min(epoch["seconds"] for epoch in trial["curve"][1:]) for trial in run.trials.values()
    ]
    return mean(fastest)
