"""The optimiser, against torch's."""

import pytest
import torch
from torch import nn

from lrsearch_worker.engine import optimiser
from lrsearch_worker.engine.optimiser import SGD


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5), nn.Linear(5, 4))
    return layers.to(memory_format=torch.channels_last)


def groups(layers: nn.Module) -> list[dict[str, object]]:
    first, _, *others = layers.children()
    rest = [p for layer in others for p in layer.parameters()]
    return [{"params": list(first.parameters()), "lr": 0.05}, {"params": rest, "lr": 0.2}]


def train(layers: nn.Module, steps: torch.optim.Optimizer) -> None:
    images = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for step in range(5):
        layers[3].requires_grad_(step != 2)  # type: ignore[index]  # a parameter may rest
        steps.zero_grad()
        torch.autograd.backward((layers(images) - 1.0).square().mean())
        for group in steps.param_groups:
            group["lr"] *= 0.9
        steps.step()


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.01), (0.9, 0.0), (0.0, 0.01)])
def test_steps_and_velocities_are_torchs(
    monkeypatch: pytest.MonkeyPatch, momentum: float, decay: float, compiled: bool
) -> None:
    if not compiled:
        monkeypatch.setattr(optimiser, "kernels", lambda: None)
    ours, theirs = network(), network()
    our_steps = SGD(groups(ours), momentum=momentum, weight_decay=decay)
    their_steps = torch.optim.SGD(groups(theirs), momentum=momentum, weight_decay=decay)
    train(ours, our_steps)
    train(theirs, their_steps)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        if momentum:
            ours_, theirs_ = (
                s.state[x]["momentum_buffer"] for s, x in ((our_steps, p), (their_steps, q))
            )
            torch.testing.assert_close(ours_, theirs_, rtol=1e-5, atol=1e-6)


def test_a_parameter_with_gaps_in_memory_is_left_to_torch_and_its_neighbours_stay() -> None:
    whole = torch.zeros(4, 6)
    parameter = whole[:, ::2].detach().requires_grad_()
    steps = SGD([{"params": [parameter], "lr": 1.0}], momentum=0.9, weight_decay=0.0)
    parameter.grad = torch.ones(4, 3)
    steps.step()
    assert torch.equal(whole[:, ::2], -torch.ones(4, 3))
    assert torch.equal(whole[:, 1::2], torch.zeros(4, 3))
