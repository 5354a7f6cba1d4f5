"""The benchmark itself, on two trials of one epoch: it runs, and both sides compute the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.benchmarks.engine.__main__ import app
from tests.benchmarks.engine.task import BASELINE

SCALE = "scale 1"
KEYS = {
    "speedup_vs_processes",
    "speedup_vs_one_process",
    "exhaustive_vs_one_plain",
    "head_only_speedup",
    "peak_memory_ratio",
    "val_top1_max_abs_diff",
    "engine_over_floor",
}


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = str(tmp_path_factory.mktemp("rows"))
    arguments = ["measure", "--quick", "--parts", "graduated,head-only", "--out", out]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_figure_of_the_goals_is_a_positive_number(figures: dict[str, Any]) -> None:
    wrong = {key: figures.get(key) for key in KEYS - {"val_top1_max_abs_diff"}}
    assert {key: value for key, value in wrong.items() if not (value and value > 0.0)} == {}


def test_engine_and_script_agree_after_an_epoch(figures: dict[str, Any]) -> None:
    curves = figures["curves"]
    assert curves["epochs"] == {side: {BASELINE: 1, SCALE: 1} for side in ("engine", "script")}
    assert figures["val_top1_max_abs_diff"] == 0.0
    assert curves["stable_loss_max_abs_diff"] < 1e-4
    assert 0.2 < curves["final_val_top1"]["script"][SCALE] < 1.0  # ten labels, a pretrained source


def test_the_phases_cover_what_engine_and_script_took(figures: dict[str, Any]) -> None:
    time = figures["where_time_goes"]
    for side in ("engine", "one_process"):
        phases = time[side]["seconds"]
        assert sum(phases.values()) > 0.5 * time[side]["wall_seconds"]
        assert min(phases["forward"], phases["backward"], phases["evaluation"]) > 0.0
    assert set(time["floor"]) == {"prefix", "forward", "backward", "evaluation"}


def test_the_larger_task_asks_for_its_images(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["measure", "--size", "2000", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "--images FOLDER" in done.stderr
