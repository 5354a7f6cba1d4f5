"""ResNet-27's units one after the other, against torch's modules in double precision."""

import copy

import pytest
import torch
from torch import Tensor, nn

from lrsearch_worker.networks import pointwise
from lrsearch_worker.networks.chain import Chain
from lrsearch_worker.networks.pointwise import prelu_
from lrsearch_worker.networks.unit import Block, Norm, Unit

SHAPES = [(32, 16, 8, 8), (5, 24, 3, 3), (1, 7, 2, 3), (3, 96, 1, 1), (2, 40, 2, 2)]
"""Images, channels, height and width."""


@pytest.fixture(params=["compiled", "torch"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled kernels, and as where numba is missing."""
    if request.param == "torch":
        monkeypatch.setattr(pointwise, "kernels", lambda: None)


def maps(shape: tuple[int, ...], seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (1.0 + 2.0 * values).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def chain_of(channels: int, norm: Norm, outputs: int = 12) -> Chain:
    """A block, a unit, a block and a pooling, with nothing at a value that hides mistakes."""
    chain = Chain(
        Block(channels, norm),
        Unit(channels, outputs, norm),
        Block(outputs, norm),
        nn.AdaptiveAvgPool2d(1),
    )
    generator = torch.Generator().manual_seed(1)
    for module in chain.modules():
        if isinstance(module, Unit):
            module.initialise(generator)
            module.activation.weight.uniform_(-0.5, 1.5, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.uniform_(0.5, 1.5, generator=generator)
    return chain.to(memory_format=torch.channels_last)


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_gradients_and_statistics_are_torchs(shape: tuple[int, ...], norm: Norm) -> None:
    chain = chain_of(shape[1], norm)
    torchs = copy.deepcopy(chain).double()  # which the kernels do not take
    x = maps(shape, 0).requires_grad_()
    same = x.detach().double().requires_grad_()
    for _ in range(2):  # the gradients add up, and the statistics move twice
        y, expected = chain(x), torchs(same)
        close(y, expected)
        weight = maps(tuple(y.shape), 2)
        torch.autograd.backward((y * weight).sum())
        torch.autograd.backward((expected * weight.double()).sum())
    close(x.grad, same.grad)
    for ours, theirs in zip(chain.parameters(), torchs.parameters(), strict=True):
        close(ours.grad, theirs.grad)
    for name, tensor in torchs.state_dict().items():
        close(chain.state_dict()[name], tensor)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_the_first_layer_needs_no_gradient_of_the_images(norm: Norm) -> None:
    chain, x = chain_of(16, norm), maps((4, 16, 4, 4), 0)
    torch.autograd.backward(chain(x).sum())
    alone = [p.grad for p in chain.parameters()]
    chain.zero_grad()
    torch.autograd.backward(chain(x.requires_grad_()).sum())
    for first, second in zip(alone, chain.parameters(), strict=True):
        assert first is not None
        assert second.grad is not None
        assert torch.equal(first, second.grad)


@pytest.mark.usefixtures("_either_way")
def test_frozen_normalisation_passes_gradients_on_and_keeps_its_statistics() -> None:
    chain = chain_of(16, "batch").requires_grad_(False).eval()
    before = {name: tensor.clone() for name, tensor in chain.state_dict().items()}
    torchs = copy.deepcopy(chain).double()
    x = maps((4, 16, 4, 4), 0).requires_grad_()
    same = x.detach().double().requires_grad_()
    torch.autograd.backward(chain(x).square().sum())
    torch.autograd.backward(torchs(same).square().sum())
    close(x.grad, same.grad)
    assert all(torch.equal(before[name], t) for name, t in chain.state_dict().items())


@pytest.mark.usefixtures("_either_way")
def test_what_is_not_a_number_stays_so() -> None:
    chain, x = chain_of(16, "none"), maps((2, 16, 4, 4), 0)
    x[0, 3] = torch.nan
    assert chain(x)[0].isnan().all()
    assert chain.eval()(x)[0].isnan().all()
    assert prelu_(x.clone(), torch.full((16,), 0.25))[0, 3].isnan().all()


def test_maps_in_another_order_in_memory_give_the_same() -> None:
    chain, x = chain_of(16, "batch"), maps((4, 16, 5, 5), 0)
    expected = chain(x)
    assert torch.equal(chain(x.contiguous()), expected)


def test_one_value_for_each_channel_cannot_be_normalised() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        chain_of(16, "batch")(maps((1, 16, 1, 1), 0))


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_folded_units_give_what_unfolded_ones_give(norm: Norm) -> None:
    chain, x = chain_of(16, norm).eval(), maps((6, 16, 8, 8), 0)
    unfolded = chain(x)
    assert unfolded.requires_grad
    with torch.no_grad():
        close(chain(x), unfolded.detach())
