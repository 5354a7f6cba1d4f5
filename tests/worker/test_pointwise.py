"""Normalisation, PReLU and residual as one operation, against torch's own in double precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrsearch_worker.networks import pointwise
from lrsearch_worker.networks.pointwise import normalised_prelu, prelu_
from lrsearch_worker.networks.unit import Norm, Unit

SHAPES = [(32, 16, 8, 8), (5, 24, 3, 3), (1, 7, 2, 3), (3, 512, 1, 1), (2, 640, 2, 2)]


@pytest.fixture(params=["compiled", "torch"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiled operations, and as where numba is missing."""
    if request.param == "torch":
        monkeypatch.setattr(pointwise, "kernels", lambda: None)


def maps(shape: tuple[int, ...], seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return (3.0 + 2.0 * values).contiguous(memory_format=torch.channels_last)


def norm_of(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            assert tensor is not None
            tensor.normal_(generator=generator)
    return norm


def expected(
    x: Tensor, norm: nn.BatchNorm2d | None, slope: Tensor, residual: Tensor | None
) -> Tensor:
    y = F.prelu(x if norm is None else norm(x), slope)
    return y if residual is None else y + residual


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("norm", ["none", "batch", "frozen"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_gradients_and_statistics_are_torchs(
    shape: tuple[int, ...], norm: str, with_residual: bool
) -> None:
    x = maps(shape, 0).requires_grad_()
    residual = maps(shape, 1).requires_grad_() if with_residual else None
    slope = torch.linspace(-0.5, 1.5, shape[1], requires_grad=True)
    layer = None if norm == "none" else norm_of(shape[1]).train(norm == "batch")
    same = None if norm == "none" else norm_of(shape[1]).train(norm == "batch").double()
    inputs = [t for t in (x, residual, slope) if t is not None]
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    weight = maps(shape, 2) - 3.0
    y = normalised_prelu(x, layer, slope, residual)
    torch.autograd.backward((y * weight).sum())
    reference = expected(
        doubles[0], same, doubles[-1], doubles[1] if residual is not None else None
    )
    torch.autograd.backward((reference * weight.double()).sum())

    def close(ours: Tensor | None, theirs: Tensor | None) -> None:
        assert ours is not None
        assert theirs is not None
        scale = theirs.abs().max().item()
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5 * max(scale, 1.0))

    close(y, reference)
    for ours, theirs in zip(inputs, doubles, strict=True):
        close(ours.grad, theirs.grad)
    if layer is not None and same is not None:
        for name, tensor in same.state_dict().items():
            close(layer.state_dict()[name], tensor.double())
        if norm == "batch":
            close(layer.weight.grad, same.weight.grad)
            close(layer.bias.grad, same.bias.grad)


@pytest.mark.usefixtures("_either_way")
def test_what_is_not_a_number_stays_so() -> None:
    x = maps((2, 16, 4, 4), 0)
    x[0, 3] = torch.nan
    slope = torch.full((16,), 0.25, requires_grad=True)
    assert normalised_prelu(x, None, slope)[0, 3].isnan().all()
    assert prelu_(x.clone(), slope.detach())[0, 3].isnan().all()


def test_maps_in_another_order_in_memory_give_the_same() -> None:
    x, slope = maps((4, 16, 5, 5), 0), torch.full((16,), 0.25)
    expected_ = normalised_prelu(x, None, slope)
    assert torch.equal(normalised_prelu(x.contiguous(), None, slope), expected_)
    assert torch.equal(
        normalised_prelu(x[:, :, :, ::1].transpose(2, 3), None, slope), expected_.transpose(2, 3)
    )


def test_one_value_for_each_channel_cannot_be_normalised() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalised_prelu(maps((1, 16, 1, 1), 0), norm_of(16), torch.zeros(16))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_folded_unit_gives_what_the_unfolded_one_gives(norm: Norm) -> None:
    unit = Unit(8, 16, norm)
    unit.initialise(torch.Generator().manual_seed(0))
    images = maps((6, 8, 8, 8), 0)
    residual = maps((6, 16, 8, 8), 1)
    unit(images, residual)  # moves the statistics
    unit.eval()
    unfolded = unit(images, residual)
    with torch.no_grad():
        folded = unit(images, residual)
    assert unfolded.requires_grad
    torch.testing.assert_close(folded, unfolded.detach(), rtol=1e-4, atol=1e-4)
