"""Checkpoints: safetensors with what they are in their metadata."""

from pathlib import Path

import pytest
import torch

from lrsearch.contract.sources import Card, ResNet27, SourceSpec
from lrsearch_worker import weights
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import WeightsError

SPEC = SourceSpec(
    architecture=ResNet27(width=0.0625, norm="batch"),
    input_size=16,
    labels=["cat", "dog", "owl"],
    card=Card(licence="MIT", top1=0.5),
)


def tiny_bytes(*, half: bool = False) -> bytes:
    return weights.to_bytes(build(SPEC.architecture, 3, seed=1).state_dict(), SPEC, half=half)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    network = build(SPEC.architecture, labels=3, seed=1)
    weights.save(tmp_path / "a.safetensors", network.state_dict(), SPEC)
    loaded = weights.load(tmp_path / "a.safetensors")
    assert loaded.spec == SPEC
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]
    again = weights.complete_network(loaded).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_half_precision_halves_the_file_and_loads_as_float32() -> None:
    whole, half = tiny_bytes(), tiny_bytes(half=True)
    assert len(half) < 0.6 * len(whole)
    tensors = weights.from_bytes(half).tensors
    exact = weights.from_bytes(whole).tensors
    assert {t.dtype for t in tensors.values()} == {torch.float32, torch.int64}
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, exact[name], rtol=1e-3, atol=1e-6)


def test_a_source_keeps_its_inner_stages_and_gets_a_new_head() -> None:
    source = weights.from_bytes(tiny_bytes())
    network = weights.source_network(source, labels=5, seed=3)
    state = network.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in source.tensors.items() if "head" not in n)
    assert network.head.out_features == 5
    same = weights.source_network(source, labels=5, seed=3)
    assert torch.equal(network.head.weight, same.head.weight)


def test_a_bare_specification_is_a_source_of_random_weights() -> None:
    network = weights.source_network(SPEC, labels=2, seed=0)
    assert network.head.out_features == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv2.0.first.conv.weight": None}, r"missing: conv2\.0\.first\.conv\.weight"),
        ({"conv9.weight": torch.zeros(1)}, r"unexpected: conv9\.weight"),
        (
            {"conv1.0.conv.weight": torch.zeros(2, 3, 5, 5)},
            r"of another shape: conv1\.0\.conv\.weight \(2, 3, 5, 5\) instead of \(2, 3, 3, 3\)",
        ),
        ({"conv1.0.norm.bias": torch.full((2,), torch.nan)}, r"not finite: conv1\.0\.norm\.bias"),
        ({"head.bias": None}, r"missing: head\.bias"),
        ({"head.weight": None}, r"'head\.weight' is missing"),
        ({"head.weight": torch.zeros(4, 32)}, "4 outputs, but labels names 3"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    loaded = weights.from_bytes(tiny_bytes())
    changed = loaded.tensors | change
    tensors = {name: tensor for name, tensor in changed.items() if tensor is not None}
    with pytest.raises(WeightsError, match=message):
        weights.complete_network(weights.Weights(loaded.spec, tensors))


@pytest.mark.parametrize("data", [b"", b"nonsense, and more than eight bytes of it", b"\0" * 64])
def test_what_is_no_safetensors_file_is_refused(data: bytes) -> None:
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.from_bytes(data)


def test_a_file_that_was_cut_off_is_refused() -> None:
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        weights.from_bytes(tiny_bytes()[:-10])


def test_a_safetensors_file_without_a_specification_is_refused() -> None:
    import safetensors.torch

    plain = safetensors.torch.save({"a": torch.zeros(1)})
    with pytest.raises(WeightsError, match="must hold the JSON of a SourceSpec"):
        weights.from_bytes(plain)
    wrong = safetensors.torch.save(
        {"a": torch.zeros(1)}, metadata={"lrsearch": '{"input_size": 2}'}
    )
    with pytest.raises(WeightsError, match="architecture"):
        weights.from_bytes(wrong)
