"""Recorded finetunes of the benchmark table, in a small file that worker processes read."""

import json
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from lrsearch.contract.leases import FinalReport, TestScore
from lrsearch.contract.probes import Probe
from lrsearch.contract.trials import EpochMetrics

TABLE: Final = Path(__file__).parents[1] / "benchmarks" / "tasks" / "table"

KEPT: Final = (0, 4, 9, 14, 19)
"""Of the 20 epochs that were recorded, counted from 0."""

EPOCHS: Final = len(KEPT)
"""Of a replayed trial."""

TEST_IMAGES: Final = 300
"""In the test split of the jobs' data set."""


class Recorded(NamedTuple):
    """A finetune as it was."""

    curve: list[EpochMetrics]
    test_images: int
    test_correct: int

    @property
    def diverged(self) -> bool:
        """Whether it did not come to its end."""
        return len(self.curve) < EPOCHS


class Task(NamedTuple):
    """What was recorded of a data set with a source model; a replayed job is one of these."""

    probe: Probe
    baseline: Recorded
    finetunes: list[Recorded]

    def finetune(self, trial_id: str, number: int) -> Recorded:
        """What a trial replays: always the same, whoever runs it and how often."""
        return self.baseline if number == 0 else self.finetunes[_draw(trial_id, self.finetunes)]

    def final(self, winner: Recorded) -> FinalReport:
        """How the winner and the baseline did on the test split."""
        gain = _correct(winner) - _correct(self.baseline)
        return FinalReport(
            winner=_score(winner),
            baseline=_score(self.baseline),
            only_winner_correct=max(gain, 0),
            only_baseline_correct=max(-gain, 0),
            seconds=0.1,
        )


class Curves:
    """All tasks of a file that `write_curves` has written."""

    def __init__(self, path: Path) -> None:
        self._tasks = [
            Task(
                Probe.model_validate(each["probe"]),
                _recorded(each["baseline"]),
                [_recorded(finetune) for finetune in each["finetunes"]],
            )
            for each in json.loads(path.read_text())
        ]

    def of(self, job_id: str) -> Task:
        """What a job replays."""
        return self._tasks[_draw(job_id, self._tasks)]


def write_curves(path: Path) -> None:
    """Take every tenth task of the table and all that ever diverged."""
    import pyarrow.parquet as pq  # only here: workers stay small

    rows = pq.read_table(TABLE / "graduated.parquet").to_pylist()
    probes = {
        (each["task"], each["source"]): json.loads(each["probe"])
        for each in pq.read_table(TABLE / "probes.parquet").to_pylist()
        if each["seed"] == 0
    }
    tasks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["seed"] == 0 and (row["task"], row["source"]) in probes:
            tasks.setdefault((row["task"], row["source"]), []).append(row)
    chosen = [
        (key, found)
        for number, (key, found) in enumerate(sorted(tasks.items()))
        if number % 10 == 0 or any(len(row["val_top1"]) < 20 for row in found)
    ]
    stored = [
        {
            "probe": probes[key],
            "baseline": _stored(next(row for row in found if row["baseline"])),
            "finetunes": [_stored(row) for row in found if not row["baseline"]],
        }
        for key, found in chosen
    ]
    path.write_text(json.dumps(stored))


def _stored(row: dict[str, Any]) -> dict[str, Any]:
    curve = []
    for number, epoch in enumerate(KEPT, start=1):
        if epoch >= len(row["val_top1"]):
            break
        metrics = {name: row[name][epoch] for name in ("train_loss", "val_loss", "val_top1")}
        if not all(isfinite(value) for value in metrics.values()):
            break
        curve.append(metrics | {"epoch": number, "seconds": (row["seconds"] or 1.0) / EPOCHS})
    return {
        "curve": curve,
        "test_images": row["test_images"],
        "test_correct": row["test_correct"][-1] if row["test_correct"] else None,
    }


def _recorded(stored: dict[str, Any]) -> Recorded:
    curve = [EpochMetrics.model_validate(metrics) for metrics in stored["curve"]]
    return Recorded(curve, stored["test_images"] or 0, stored["test_correct"] or 0)


def _score(recorded: Recorded) -> TestScore:
    """The recorded accuracy, on as many images as the jobs' test split has."""
    return TestScore(
        images=TEST_IMAGES, correct=_correct(recorded), loss=recorded.curve[-1].val_loss
    )


def _correct(recorded: Recorded) -> int:
    return TEST_IMAGES * recorded.test_correct // recorded.test_images


def _draw(name: str, among: list[Any]) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:8]) % len(among)
