"""Stochastic gradient descent, a whole network in one call on the CPU."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrsearch_worker.networks.pointwise import kernels


class SGD(torch.optim.SGD):
    """As `torch.optim.SGD` with momentum and weight decay; parameters without a gradient stay.

    On the CPU, torch's takes some five operations a tensor, which is more time than the arithmetic
    of a small network needs.
    """

    def __init__(self, groups: list[dict[str, Any]], momentum: float, weight_decay: float) -> None:
        super().__init__(groups, momentum=momentum, weight_decay=weight_decay, foreach=True)
        self._momentum, self._weight_decay = momentum, weight_decay
        self._compiled = kernels() if all(map(_takes, self._parameters())) else None

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # no closure: the engine has none
        """Take a step along the gradients that the parameters hold."""
        if self._compiled is None:
            super().step()
            return
        moving = [
            (p, float(group["lr"]))
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        gradients = [_alike(p.grad, p) for p, _ in moving]  # named, so that they stay alive
        self._compiled.descend(
            _addresses([p for p, _ in moving]),
            _addresses(gradients),
            _addresses([self._velocity(p) for p, _ in moving]),
            np.array([p.numel() for p, _ in moving], np.int64),
            np.array([rate for _, rate in moving], np.float32),
            self._momentum,
            self._weight_decay,
        )

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    def _velocity(self, parameter: Tensor) -> Tensor:
        """Where torch keeps it as well."""
        state = self.state[parameter]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        velocity: Tensor = state["momentum_buffer"]
        return velocity


def _takes(parameter: Tensor) -> bool:
    """Whether the kernel, which knows but an address and a size, may be given a parameter."""
    return (
        parameter.device.type == "cpu"
        and parameter.dtype == torch.float32
        and (
            parameter.is_contiguous()
            or (parameter.ndim == 4 and parameter.is_contiguous(memory_format=torch.channels_last))
        )
    )


def _addresses(tensors: list[Tensor]) -> NDArray[np.int64]:
    return np.array([tensor.data_ptr() for tensor in tensors], np.int64)


def _alike(gradient: Tensor | None, parameter: Tensor) -> Tensor:
    """The gradient in its parameter's order in memory."""
    assert gradient is not None
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
