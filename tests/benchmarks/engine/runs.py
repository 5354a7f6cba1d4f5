"""Runs of engine and script, each in processes of its own, and what they report."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import torch

from lrsearch_worker.device import threads_for

CORES: Final = threads_for(torch.device("cpu"), None)

WATCH: Final = "--phases"
"""Option of the engine's process: also report where the time goes."""

Report = dict[str, Any]
"""The JSON object that a process printed last."""


class Run(NamedTuple):
    """One run, from the start of its first process to the end of its last."""

    wall_seconds: float
    start_seconds: float
    """Part of `wall_seconds` that Python and torch took to start: before anything was done."""
    reports: list[Report]
    """One a process."""
    others_share: float
    """Of the machine's cores, what anything else kept busy: near 0, or the seconds mean little."""

    @property
    def trials(self) -> dict[str, Any]:
        """What is reported of each trial, by name."""
        return {name: trial for report in self.reports for name, trial in report["trials"].items()}


class Settings(NamedTuple):
    """How the script is run."""

    threads: int
    workers: int
    channels_last: bool
    fused: bool
    processes: int = 1
    """At a time, where each trial has its own."""

    def arguments(self) -> list[str]:
        """As the script's command line has them."""
        flags = {"--channels-last": self.channels_last, "--fused": self.fused}
        numbers = ["--threads", str(self.threads), "--workers", str(self.workers)]
        return numbers + [flag for flag, on in flags.items() if on]


def engine(folder: Path, trials: Sequence[str], threads: int, *options: str) -> Run:
    """The trials by our engine, in one process."""
    return _timed([_command("ours", folder, trials, ["--threads", str(threads), *options])])


def one_process(folder: Path, trials: Sequence[str], settings: Settings, *options: str) -> Run:
    """The trials by the script, one after another in one process."""
    return _timed([_command("plain", folder, trials, [*settings.arguments(), *options])])


def processes(folder: Path, trials: Sequence[str], settings: Settings, *options: str) -> Run:
    """The trials by the script, each in a process of its own, some at a time."""
    arguments = [*settings.arguments(), *options]
    commands = [_command("plain", folder, [trial], arguments) for trial in trials]
    return _timed(commands, settings.processes)


def _command(module: str, folder: Path, trials: Sequence[str], options: Sequence[str]) -> list[str]:
    package = __name__.rpartition(".")[0]
    names = ["--trials", ",".join(trials)]
    return [sys.executable, "-m", f"{package}.{module}", str(folder), *names, *options]


def _timed(commands: Sequence[list[str]], at_a_time: int = 1) -> Run:
    started, all_before, ours_before = time.perf_counter(), _busy_seconds(), _childrens_seconds()
    with ThreadPoolExecutor(at_a_time) as pool:
        done = list(pool.map(_run, commands))
    wall = time.perf_counter() - started
    others = _busy_seconds() - all_before - (_childrens_seconds() - ours_before)
    return Run(
        wall_seconds=wall,
        start_seconds=sum(seconds - report["seconds"] for seconds, report in done) / at_a_time,
        reports=[report for _, report in done],
        others_share=max(0.0, others / wall / CORES),
    )


def _run(command: list[str]) -> tuple[float, Report]:
    """A process's wall seconds and report."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return time.perf_counter() - started, report


def _busy_seconds() -> float:
    """Of all cores, since the machine started."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))


def _childrens_seconds() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
