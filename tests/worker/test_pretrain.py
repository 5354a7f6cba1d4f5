"""Source training on a folder of images."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lrsearch_worker import weights
from lrsearch_worker.cli import app
from lrsearch_worker.data.folders import held_out, read_folder
from lrsearch_worker.pretrain import EpochReport, Output, Training, Watcher, pretrain

CPU = torch.device("cpu")
TINY = Training(width=0.0625, input_size=16, epochs=4, batch_size=8, held_out=0.25, rate=0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve small pictures each of stripes that lie and stripes that stand."""
    rng = np.random.default_rng(0)
    for label in ("lying", "standing"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(12):
            stripes = np.zeros((20, 20, 3), dtype=np.uint8)
            stripes[i % 4 :: 4] = rng.integers(128, 256, size=3)
            if label == "standing":
                stripes = stripes.transpose(1, 0, 2)
            Image.fromarray(stripes).save(tmp_path / "images" / label / f"{i}.png")
    return tmp_path / "images"


class _StopAfter(Watcher):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def epoch(self, report: EpochReport) -> None:
        if report.epoch == self.epochs:
            raise KeyboardInterrupt


class _Recorder(Watcher):
    def __init__(self) -> None:
        self.reports: list[EpochReport] = []
        self.resumed_after: int | None = None

    def epoch(self, report: EpochReport) -> None:
        self.reports.append(report)

    def resumed(self, epoch: int) -> None:
        self.resumed_after = epoch


def test_training_learns_and_the_file_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    output = Output(name="stripes", folder=tmp_path, licence="CC0", data=["stripes"], command="x")
    seen = _Recorder()
    path = pretrain(folder, TINY, output, CPU, seen)
    assert seen.reports[-1].loss < seen.reports[0].loss
    spec = weights.load(path).spec
    assert spec.labels == ["lying", "standing"]
    assert spec.input_size == 16
    assert (spec.card.images, spec.card.labels, spec.card.licence) == (18, 2, "CC0")
    assert spec.card.top1 == seen.reports[-1].top1
    assert spec.card.recipe["rate"] == 0.05
    weights.complete_network(weights.load(path))


def test_going_on_after_an_interruption_gives_the_same_weights(
    folder: Path, tmp_path: Path
) -> None:
    whole = Output(name="m", folder=tmp_path / "whole")
    parts = Output(name="m", folder=tmp_path / "parts")
    expected = weights.load(pretrain(folder, TINY, whole, CPU)).tensors
    with pytest.raises(KeyboardInterrupt):
        pretrain(folder, TINY, parts, CPU, _StopAfter(2))
    seen = _Recorder()
    tensors = weights.load(pretrain(folder, TINY, parts, CPU, seen)).tensors
    assert seen.resumed_after == 2
    assert [r.epoch for r in seen.reports] == [3, 4]
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in expected.items())


def test_a_checkpoint_of_other_arguments_is_an_error_that_names_them(
    folder: Path, tmp_path: Path
) -> None:
    output = Output(name="m", folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        pretrain(folder, TINY, output, CPU, _StopAfter(1))
    other = Training(width=0.0625, input_size=16, epochs=4, batch_size=8, held_out=0.25, rate=0.1)
    with pytest.raises(ValueError, match=r"another training: rate 0\.05 \(now 0\.1\)"):
        pretrain(folder, other, output, CPU)


def test_a_loss_that_is_not_finite_stops_the_training(folder: Path, tmp_path: Path) -> None:
    wild = Training(width=0.0625, norm="none", input_size=16, batch_size=8, rate=1e3)
    with pytest.raises(FloatingPointError, match="try a rate below"):
        pretrain(folder, wild, Output(name="m", folder=tmp_path), CPU)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--held-out", "1.5", "from 0 to 0.5"),
        ("--epochs", "0", "epochs is 0; it must be 1 or more"),
    ],
)
def test_an_option_out_of_range_is_an_error_that_names_it(
    option: str, value: str, message: str, folder: Path, tmp_path: Path
) -> None:
    arguments = ["pretrain", str(folder), "--out", str(tmp_path / "out"), option, value]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert message in result.output


def test_images_are_held_out_evenly_over_the_labels(folder: Path, tmp_path: Path) -> None:
    images = read_folder(folder, 16, tmp_path / "cache", lambda done, total: None)
    mask = held_out(images, 0.25, seed=0)
    assert np.bincount(images.labels[mask]).tolist() == [3, 3]
    assert not np.array_equal(mask, held_out(images, 0.25, seed=1))


def test_groups_are_not_split(folder: Path, tmp_path: Path) -> None:
    pairs = {f"{label}/{i}.png": f"{i // 4}" for label in ("lying", "standing") for i in range(12)}
    (folder / "groups.json").write_text(json.dumps(pairs))
    images = read_folder(folder, 16, tmp_path / "cache", lambda done, total: None)
    mask = held_out(images, 0.33, seed=0)
    held = {g for g, m in zip(images.groups, mask, strict=True) if m}
    kept = {g for g, m in zip(images.groups, mask, strict=True) if not m}
    assert len(held) == 1
    assert not held & kept


def test_decoding_happens_once(folder: Path, tmp_path: Path) -> None:
    calls: list[int] = []
    first = read_folder(folder, 16, tmp_path / "cache", lambda done, total: calls.append(done))
    again = read_folder(folder, 16, tmp_path / "cache", lambda done, total: calls.append(done))
    assert calls == list(range(1, 25))
    assert np.array_equal(first.pixels, again.pixels)


def test_a_folder_with_fewer_than_two_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two labels"):
        read_folder(tmp_path, 16, tmp_path / "cache", lambda done, total: None)


def test_the_command_trains_and_prints_a_line_an_epoch(folder: Path, tmp_path: Path) -> None:
    arguments = ["--width", "0.0625", "--size", "16", "--epochs", "2", "--no-flip", "--half"]
    result = CliRunner().invoke(
        app, ["pretrain", str(folder), "--out", str(tmp_path / "out"), *arguments]
    )
    assert result.exit_code == 0, result.output
    assert "epoch 2/2" in result.output
    assert weights.load(tmp_path / "out" / "source.safetensors").spec.card.images == 22
