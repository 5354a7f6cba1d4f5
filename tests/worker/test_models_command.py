"""`lrsearch-worker models`."""

import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from typer.testing import CliRunner, Result

from lrsearch_worker import weights
from lrsearch_worker.cli import app
from lrsearch_worker.networks.build import build
from tests.worker.loop.fake_service import FakeService
from tests.worker.loop.loopback import on_loopback
from tests.worker.loop.samples import SPEC, source_model, tiny_weights

OPTIONS = ("--width", "0.0625", "--size", "16")


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


@pytest.fixture
def url() -> str:
    return "http://127.0.0.1:9"  # nobody listens there


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def state() -> dict[str, torch.Tensor]:
    return dict(build(SPEC.architecture, labels=5, seed=1).state_dict())


def test_a_file_is_shown_stage_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(tiny_weights())
    result = models("show", path)
    assert result.exit_code == 0
    rows = {row[0]: row[1:] for line in result.stdout.splitlines() if (row := _cells(line))}
    parameters = build(SPEC.architecture, 5, 0).parameters()
    assert rows["conv1"] == ["conv1", "2", "144", "0.2 %", "4 × 8 × 8"]
    assert rows["conv5"][-1] == "32"
    assert rows["head"][1:3] == ["1", f"{32 * 5 + 5}"]
    assert rows["all"][:2] == ["28", f"{sum(p.numel() for p in parameters):,}"]


def test_a_network_is_shown_by_its_name() -> None:
    shown = models("show", "torchvision:resnet18", "--size", 64)
    assert shown.exit_code == 0, shown.stderr
    rows = {row[0]: row[1:] for line in shown.stdout.splitlines() if (row := _cells(line))}
    assert rows["conv3"] == ["layer2", "5", "525,568", "4.5 %", "128 × 8 × 8"]
    assert rows["all"][:2] == ["21", "11,689,512"]
    told = json.loads(models("show", "torchvision:resnet18", "--json").stdout)
    assert (told["input_size"], told["is_chain"]) == (224, True)
    assert told["architecture"] == {"network": "torchvision", "model": "resnet18"}
    assert [stage["parts"] for stage in told["stages"][1:4]] == [["layer1"], ["layer2"], ["layer3"]]
    assert sum(stage["share"] for stage in told["stages"]) == pytest.approx(1.0)
    assert told["stages"][4]["outputs"] == [[512]]


def test_a_network_that_is_no_chain_says_so() -> None:
    shown = models("show", "timm:xcit_nano_12_p16_224", "--size", 64)
    assert "frozen ones are computed each time" in shown.stdout
    told = json.loads(models("show", "timm:xcit_nano_12_p16_224", "--json").stdout)
    assert told["is_chain"] is False


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("timm:ResNet18", "it is 'ResNet18'"),
        ("timm:resnet", "it has"),
        ("resnet27 --size 2", "cannot take images of 2 × 2 pixels"),
    ],
)
def test_a_network_that_cannot_be_shown_is_an_error_in_a_sentence(name: str, why: str) -> None:
    shown = models("show", *name.split())
    assert shown.exit_code == 1
    assert why in shown.stderr


def test_registered_models_are_listed_and_shown() -> None:
    service = FakeService()
    source_model(service, tiny_weights(), name="tiny")
    with on_loopback(service) as url:
        assert "tiny" in models("list", "--url", url).stdout
        assert "conv5" in models("show", "tiny", "--url", url).stdout
        unknown = models("show", "other", "--url", url)
    assert unknown.exit_code == 1
    assert "404" in unknown.stderr


def test_a_service_that_is_away_is_an_error_in_a_sentence(url: str) -> None:
    result = models("list", "--url", url)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: GET /v1/source-models")


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_a_checkpoint_becomes_safetensors(tmp_path: Path, key: str | None) -> None:
    checkpoint = saved(tmp_path / "net.pt", {key: state(), "epoch": 3} if key else state())
    target = tmp_path / "net.safetensors"
    result = models("convert", checkpoint, target, *OPTIONS, *(f"--label={i}" for i in range(5)))
    assert result.exit_code == 0, result.stderr
    converted = weights.load(target)
    weights.complete_network(converted)
    assert converted.spec.labels == ["0", "1", "2", "3", "4"]
    assert torch.equal(converted.tensors["head.weight"], state()["head.weight"])


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_librarys_checkpoint_becomes_a_source_with_its_usual_input(
    tmp_path: Path, suffix: str
) -> None:
    own = torchvision.models.mobilenet_v3_small(num_classes=4)
    path = tmp_path / f"mobilenet.{suffix}"
    write = safetensors.torch.save_file if suffix == "safetensors" else torch.save
    write(own.state_dict(), path)
    target = tmp_path / "ours.safetensors"
    result = models("convert", path, target, "--network", "torchvision:mobilenet_v3_small")
    assert result.exit_code == 0, result.stderr
    converted = weights.load(target)
    assert (converted.spec.input_size, converted.spec.mean) == (224, (0.485, 0.456, 0.406))
    again = weights.complete_network(converted).eval()
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(again(images), own.eval()(images))


def test_a_network_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "net.safetensors"
    result = models("convert", saved(tmp_path / "n.pt", state()), target, "--network", "keras:vgg")
    assert result.exit_code == 1
    assert "--network is 'keras:vgg'; it must be resnet27" in result.stderr


def test_a_specification_can_come_from_a_file(tmp_path: Path) -> None:
    specification = tmp_path / "spec.json"
    specification.write_text(SPEC.model_dump_json())
    target = tmp_path / "net.safetensors"
    result = models("convert", saved(tmp_path / "n.pt", state()), target, "--spec", specification)
    assert result.exit_code == 0, result.stderr
    assert weights.load(target).spec == SPEC


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "net.safetensors"
    result = models("convert", saved(tmp_path / "n.pt", state()), target, "--size", "16")
    assert result.exit_code == 1
    assert "conv1.0.conv.weight (2, 3, 3, 3) instead of (32, 3, 3, 3)" in result.stderr
    assert not target.exists()


class _Bomb:
    """Sets the class's flag when it is unpickled."""

    went_off = False

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return setattr, (_Bomb, "went_off", True)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "net.safetensors"
    bomb = saved(tmp_path / "bomb.pt", state() | {"bomb": _Bomb()})
    result = models("convert", bomb, target, *OPTIONS)
    assert result.exit_code == 1
    assert "holds more than tensors" in result.stderr
    assert not _Bomb.went_off
    assert not target.exists()


def test_a_checkpoint_that_holds_no_state_dictionary_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "net.safetensors"
    listed = models("convert", saved(tmp_path / "list.pt", [1, 2]), target, *OPTIONS)
    assert "holds a list; it should be a state dictionary" in listed.stderr
    epoch = models("convert", saved(tmp_path / "epoch.pt", {"epoch": 3}), target, *OPTIONS)
    assert "has a int under 'epoch'" in epoch.stderr


def test_the_input_size_must_be_given(tmp_path: Path) -> None:
    result = models("convert", saved(tmp_path / "n.pt", state()), tmp_path / "n.safetensors")
    assert result.exit_code == 1
    assert "--size" in result.stderr


def _cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip()) if line.strip() else []
