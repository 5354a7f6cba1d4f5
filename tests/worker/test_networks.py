"""The five-stages-and-head interface, and ResNet-27."""

import pytest
import torch
from torch import nn

from lrsearch.contract.rates import STAGES
from lrsearch.contract.sources import ResNet27
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.conv import convolution_gradients
from lrsearch_worker.networks.staged import StagedNetwork

CAFFE = ResNet27(width=1.0, norm="none")
TINY = ResNet27(width=0.0625, norm="batch")


@pytest.fixture(scope="module")
def caffe() -> StagedNetwork:
    return build(CAFFE, labels=10, seed=0)


def test_resnet27_has_exactly_27_convolutions_of_3_by_3(caffe: StagedNetwork) -> None:
    convolutions = [m for m in caffe.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 27
    assert {(c.kernel_size, c.stride, c.padding) for c in convolutions} == {
        ((3, 3), (1, 1), (1, 1))
    }


@pytest.mark.parametrize(
    ("stage", "convolutions", "kernel_weights", "million"),
    [
        ("conv1", 2, 19_296, 0.02),
        ("conv2", 3, 147_456, 0.15),
        ("conv3", 5, 884_736, 0.89),
        ("conv4", 11, 7_077_888, 7.08),
        ("conv5", 6, 14_155_776, 14.16),
    ],
)
def test_resnet27_has_the_parameters_of_the_paper_in_each_stage(
    caffe: StagedNetwork, stage: str, convolutions: int, kernel_weights: int, million: float
) -> None:
    parameters = [(n, p) for n, p in caffe.named_parameters() if n.startswith(stage + ".")]
    kernels = [p for n, p in parameters if n.endswith("conv.weight")]
    assert len(kernels) == convolutions
    assert sum(k.numel() for k in kernels) == kernel_weights
    assert round(sum(p.numel() for _, p in parameters) / 1e6, 2) == million


def test_caffes_original_has_a_prelu_for_each_convolution_and_no_normalisation(
    caffe: StagedNetwork,
) -> None:
    modules = list(caffe.modules())
    assert sum(isinstance(m, nn.PReLU) for m in modules) == 27
    assert not any(isinstance(m, nn.BatchNorm2d) for m in modules)


def test_batch_normalisation_stands_after_each_convolution_in_place_of_its_bias() -> None:
    modules = list(build(TINY, labels=10, seed=0).modules())
    assert sum(isinstance(m, nn.BatchNorm2d) for m in modules) == 27
    assert all(m.bias is None for m in modules if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_every_tensor_belongs_to_the_stage_that_its_name_begins_with(norm: str) -> None:
    network = build(ResNet27.model_validate({"width": 0.0625, "norm": norm}), labels=3, seed=0)
    stages = [network.stage_of(name) for name in network.state_dict()]
    assert set(stages) == set(STAGES)
    assert stages == sorted(stages, key=STAGES.index)


def test_a_tensor_of_no_stage_is_an_error() -> None:
    network = build(TINY, labels=3, seed=0)
    network.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"'extra\.weight' belongs to no stage"):
        network.check_stages()


def test_a_parameter_shared_by_two_stages_is_an_error() -> None:
    network = build(TINY, labels=3, seed=0)
    network.conv5 = network.conv4
    with pytest.raises(ValueError, match="shared by the stages conv4 and conv5"):
        network.check_stages()


def test_the_stages_one_after_another_are_the_whole_network() -> None:
    network = build(TINY, labels=3, seed=0).eval()
    images = torch.rand(2, 3, 32, 32)
    halfway = network.run(images, 0, 3)
    assert halfway.shape == (2, 16, 4, 4)
    assert network.run(images, 0, 5).shape == (2, 32)
    assert torch.equal(network.run(halfway, 3, 6), network(images))


def test_the_side_halves_in_each_of_the_first_four_stages() -> None:
    network = build(TINY, labels=3, seed=0).eval()
    sides = [network.run(torch.rand(1, 3, 64, 64), 0, end).shape[-1] for end in range(1, 5)]
    assert sides == [32, 16, 8, 4]


def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others() -> None:
    first, same, other = (build(TINY, labels=3, seed=s).state_dict() for s in (7, 7, 8))
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert not torch.equal(first["conv3.0.first.conv.weight"], other["conv3.0.first.conv.weight"])


def test_a_new_head_has_the_new_labels_and_depends_on_its_generator_alone() -> None:
    def with_new_head(seed: int) -> StagedNetwork:
        network = build(TINY, labels=3, seed=seed)
        network.replace_head(7, torch.Generator().manual_seed(5))
        return network

    first, second = with_new_head(0), with_new_head(1)
    assert first(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert torch.equal(first.head.weight, second.head.weight)
    with pytest.raises(ValueError, match="labels is 0"):
        first.replace_head(0, torch.Generator())


def test_a_frozen_prefix_has_no_gradients_and_stays_in_evaluation_mode() -> None:
    network = build(TINY, labels=3, seed=0).train()
    network.freeze_prefix(2)
    assert {s for s in STAGES if network.stage(s).training} == set(STAGES[2:])
    trainable = {network.stage_of(n) for n, p in network.named_parameters() if p.requires_grad}
    assert trainable == set(STAGES[2:])


@pytest.mark.parametrize("x_wanted", [True, False])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_gradients_of_a_convolution_are_torchs_for_few_pixels_and_for_many(
    side: int, order: torch.memory_format, x_wanted: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight, gradient = (
        torch.randn(shape, generator=generator).contiguous(memory_format=order)
        for shape in ((4, 6, side, side), (8, 6, 3, 3), (4, 8, side, side))
    )
    wanted = [x.requires_grad_(), weight.requires_grad_()]
    torchs = nn.functional.conv2d(x, weight, padding=1)
    expected = torch.autograd.grad(torchs, wanted, gradient)
    with torch.no_grad():
        to_x, to_weight = convolution_gradients(x, weight, gradient, x_wanted=x_wanted)
    torch.testing.assert_close(to_weight, expected[1])
    if x_wanted:
        torch.testing.assert_close(to_x, expected[0])
    else:
        assert to_x is None


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_signals_neither_vanish_nor_explode_at_the_start(norm: str) -> None:
    network = build(ResNet27.model_validate({"width": 0.25, "norm": norm}), labels=10, seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(32, 3, 32, 32, generator=generator)
    for end in range(1, 5):
        deviation = network.run(images, 0, end).std().item()
        assert 0.2 < deviation < 5.0
    loss = nn.functional.cross_entropy(network(images), torch.arange(32) % 10)
    torch.autograd.backward(loss)
    norms = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    assert len(norms) == len(list(network.parameters()))
    assert all(0.0 < n < 10.0 for n in norms)
