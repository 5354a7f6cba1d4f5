"""From the rows of a benchmark to its figures."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from tests.benchmarks.engine.floor import Rate, Work
from tests.benchmarks.engine.runs import Run
from tests.benchmarks.engine.task import BASELINE, STABLE

Figures = dict[str, Any]


class Runs(NamedTuple):
    """The rounds of one part."""

    engine: list[Run]
    processes: list[Run]
    one_process: list[Run]


def speed(runs: Runs, images: int) -> Figures:
    """Seconds and what follows from them.

    Args:
        runs: Of the same trials.
        images: Training images that pass in all of them together.
    """
    ours = _engine_seconds(runs.engine)
    found: Figures = {"engine": ours, "engine_with_start": _wall(runs.engine)}
    for name, rounds in (("processes", runs.processes), ("one_process", runs.one_process)):
        if rounds:
            found[name] = _wall(rounds)
            found[f"{name}_without_start"] = median(
                r.wall_seconds - r.start_seconds for r in rounds
            )
    return {
        "seconds": found,
        "rounds": {
            "engine": [r.reports[0]["seconds"] for r in runs.engine],
            "processes": [r.wall_seconds for r in runs.processes],
            "one_process": [r.wall_seconds for r in runs.one_process],
        },
        "others_share": max(r.others_share for rounds in runs for r in rounds),
        "speedup": {name: found[name] / ours for name in found if name != "engine"},
        "images_per_second": {name: images / seconds for name, seconds in found.items()},
    }


def head_only(engine: Iterable[Run], script: Iterable[Run]) -> Figures:
    """The baseline on stored features, against the script's in one process, process start aside.

    `from_images` is what a job pays for it: its images are decoded once for all trials, and the
    features are computed in it.
    """
    plain = median(run.trials[BASELINE]["seconds"] for run in script)
    reports = [run.reports[0] for run in engine]
    ours = {
        "from_archive": median(r["seconds"] for r in reports),
        "from_images": median(r["seconds"] - r["decode_seconds"] for r in reports),
        "from_stored_features": median(
            _at_the_usual_pace(r["trials"][BASELINE]["curve"]) for r in reports
        ),
    }
    return {
        "seconds": ours | {"one_process": plain},
        "speedup": {name: plain / seconds for name, seconds in ours.items()},
    }


def _at_the_usual_pace(curve: Sequence[Mapping[str, float]]) -> float:
    """Seconds of as many epochs as the curve has, had all taken as long as most."""
    return len(curve) * median(epoch["seconds"] for epoch in curve)


def exhaustive(engine_seconds: float, rounds: Iterable[Run]) -> Figures:
    """The engine's whole search against one finetune of the script, process start aside."""
    plain: float = median(
        trial["seconds"] for run in rounds for name, trial in run.trials.items() if name != BASELINE
    )
    return {
        "exhaustive_vs_one_plain": engine_seconds / plain,
        "one_plain_seconds": plain,
    }


def curves(engine: Run, script: Run) -> Figures:
    """How far the curves of engine and script lie apart."""
    top1: dict[str, float] = {}
    loss: dict[str, float] = {}
    for name, theirs in script.trials.items():
        pairs = list(zip(engine.trials[name]["curve"], theirs["curve"], strict=False))
        top1[name] = max((abs(a["val_top1"] - b["val_top1"]) for a, b in pairs), default=0.0)
        loss[name] = max(
            (abs(a[k] - b[k]) for a, b in pairs for k in ("train_loss", "val_loss")), default=0.0
        )
    stable = [name for name in loss if name in (*STABLE, BASELINE)]
    return {
        "val_top1_max_abs_diff": max(top1.values()),
        "stable_val_top1_max_abs_diff": max(top1[name] for name in stable),
        "stable_loss_max_abs_diff": max(loss[name] for name in stable),
        "val_top1_max_abs_diff_of_trial": top1,
        "loss_max_abs_diff_of_trial": {n: d for n, d in loss.items() if math.isfinite(d)},
        "epochs": {
            "engine": {name: len(trial["curve"]) for name, trial in engine.trials.items()},
            "script": {name: len(trial["curve"]) for name, trial in script.trials.items()},
        },
        "final_val_top1": {"engine": _final(engine), "script": _final(script)},
    }


def memory(together: Iterable[Run], alone: Run) -> Figures:
    """Peak memory of all trials in one process against one trial in such a process."""
    peak = median(run.reports[0]["peak_bytes"] for run in together)
    one = alone.reports[0]["peak_bytes"]
    idle = alone.reports[0]["idle_bytes"]
    return {
        "idle_bytes": idle,
        "one_trial_bytes": one,
        "all_trials_bytes": peak,
        "ratio_above_idle": (peak - idle) / (one - idle),
        "ratio": peak / one,
    }


def engine_phases(watched: Run, threads: int) -> Figures:
    """Wall seconds by phase, the mean of the engine's threads."""
    (report,) = watched.reports
    seconds = {phase: spent / threads for phase, spent in report["phases"].items()}
    return {"seconds": seconds, "wall_seconds": report["seconds"]}


def script_phases(run: Run) -> Figures:
    """Wall seconds by phase, of all the trials in one process."""
    seconds: Counter[str] = Counter()
    for trial in run.trials.values():
        seconds.update(trial["phases"])
    return {"seconds": dict(seconds), "wall_seconds": run.reports[0]["seconds"]}


def floor(work: Work, without_padding: Work, rates: Sequence[Rate], seconds: float) -> Figures:
    """The arithmetic floor, and how many times that the engine took."""
    best = max(rates)
    return {
        "seconds": sum(work) / best.per_second,
        "engine_over_floor": seconds * best.per_second / sum(work),
        "multiply_adds": sum(work),
        "multiply_adds_without_padding": sum(without_padding),
        "seconds_without_padding": sum(without_padding) / best.per_second,
        "multiply_adds_per_second": [rate.per_second for rate in rates],
        "fastest_product": [list(rate.shape) for rate in rates],
    }


def _engine_seconds(runs: Iterable[Run]) -> float:
    seconds: float = median(run.reports[0]["seconds"] for run in runs)
    return seconds


def _wall(runs: Iterable[Run]) -> float:
    return median(run.wall_seconds for run in runs)


def _final(run: Run) -> dict[str, float | None]:
    """`None` where the trial diverged before its first epoch ended."""
    return {
        name: trial["curve"][-1]["val_top1"] if trial["curve"] else None
        for name, trial in run.trials.items()
    }
