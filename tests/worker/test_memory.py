"""How much memory a step takes, and how many fit."""

import psutil
import pytest
import torch

from lrsearch.contract.sources import ResNet27
from lrsearch_worker.engine.memory import step_bytes, steps_that_fit
from lrsearch_worker.networks.build import build

FLOAT_BYTES = 4


def test_a_step_keeps_the_maps_of_each_image_and_the_gradients() -> None:
    network = build(ResNet27(width=0.0625, norm="none"), labels=5, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    image = torch.zeros(1, 3, 32, 32)
    parameters = sum(p.numel() for p in network.parameters()) * FLOAT_BYTES
    one, eight = (step_bytes(network, image, size) - parameters for size in (1, 8))
    assert eight == 8 * one
    sides = {"conv1": 32, "conv2": 16, "conv3": 8, "conv4": 4, "conv5": 2}
    convolved = FLOAT_BYTES * sum(
        m.out_channels * sides[name.split(".")[0]] ** 2
        for name, m in network.named_modules()
        if isinstance(m, torch.nn.Conv2d)
    )
    assert convolved <= one <= 3 * convolved
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


def test_steps_fit_into_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    assert steps_that_fit(100) == 5
    assert steps_that_fit(2000) == 1
    assert steps_that_fit(0) == 500
