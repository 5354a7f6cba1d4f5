"""Runs of engine and script, each in processes of its own, and what they report."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

CORES = os.cpu_count() or 1

Report = dict[str, Any]
"""The JSON object that a process printed last."""


class Run(NamedTuple):
    """One run, from the start of its first process to the end of its last."""

    wall_seconds: float
    start_seconds: float
    """Part of `wall_seconds` that Python and torch took to start: before anything was done."""
    reports: list[Report]
    """One a process."""

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
    return _in_one_process("ours", folder, trials, ["--threads", str(threads), *options])


def one_process(folder: Path, trials: Sequence[str], settings: Settings, *options: str) -> Run:
    """The trials by the script, one after another in one process."""
    return _in_one_process("plain", folder, trials, [*settings.arguments(), *options])


def processes(folder: Path, trials: Sequence[str], settings: Settings, *options: str) -> Run:
    """The trials by the script, each in a process of its own, some at a time."""
    started = time.perf_counter()
    with ThreadPoolExecutor(settings.processes) as pool:
        runs = list(pool.map(lambda t: one_process(folder, [t], settings, *options), trials))
    wall = time.perf_counter() - started
    starts = sum(run.start_seconds for run in runs) / settings.processes
    return Run(wall, starts, [run.reports[0] for run in runs])


def _in_one_process(
    module: str, folder: Path, trials: Sequence[str], options: Sequence[str]
) -> Run:
    package = __name__.rpartition(".")[0]
    command = [sys.executable, "-m", f"{package}.{module}", str(folder)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--trials", ",".join(trials), *options],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    wall = time.perf_counter() - started
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return Run(wall, wall - report["seconds"], [report])
