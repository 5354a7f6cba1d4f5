"""A chain of units that trains as one operation on the CPU.

With small maps, a step through torch's modules and its graph of gradients takes about as long as
the arithmetic between the convolutions. Here a stage's units are run forward and backward by hand:
torch's convolutions, and one compiled kernel for all that stands between two of them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from lrsearch_worker.networks.conv import convolution_gradients
from lrsearch_worker.networks.pointwise import address, dense, kernels, kernels_take, matrix_shape
from lrsearch_worker.networks.unit import Block, Unit


class Chain(nn.Sequential):
    """Units and blocks, and then what ends a stage (pooling), one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps of shape `(images, channels, height, width)` to what the last module makes."""
        links = list(self._links())
        if not torch.is_grad_enabled() or not kernels_take(x) or not _all_train(links, x):
            return cast(Tensor, super().forward(x))  # type: ignore[no-untyped-call]
        parameters = [p for link in links for p in link.parameters()]
        x = cast(Tensor, _Trained.apply(links, x, *parameters))
        for module in self:
            if not isinstance(module, Unit | Block):
                x = module(x)
        return x

    def _links(self) -> "Iterator[_Link]":
        for module in self:
            if isinstance(module, Unit):
                yield _Link(module)
            elif isinstance(module, Block):
                yield _Link(module.first, opens=True)
                yield _Link(module.second, closes=True)


class _Link(NamedTuple):
    unit: Unit
    opens: bool = False
    """Whether what enters it is the residual of a block."""
    closes: bool = False
    """Whether that residual is added to what leaves it."""

    def parameters(self) -> list[nn.Parameter]:
        """In the order in which `_gradients` gives their gradients."""
        unit = self.unit
        of_norm = [] if unit.norm is None else list(unit.norm.parameters())
        return [*unit.conv.parameters(), *of_norm, *unit.activation.parameters()]


class _Step(NamedTuple):
    """What a unit leaves for its gradients."""

    entered: Tensor
    convolved: Tensor
    saved: Tensor
    """Of the kernel, shape `(4, channels)`."""


def _all_train(links: list[_Link], x: Tensor) -> bool:
    """Whether all is in training mode, and statistics can be taken: of more than one pixel."""
    return x.numel() > x.shape[1] and all(
        link.unit.training and (link.unit.norm is None or link.unit.norm.training) for link in links
    )


class _Trained(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, links: list[_Link], x: Tensor, *parameters: Tensor) -> Tensor:
        x = residual = dense(x)
        steps = []
        for link in links:
            if link.opens:
                residual = x
            conv = link.unit.conv
            convolved = dense(torch.conv2d(x, conv.weight, conv.bias, padding=1))
            out, saved = _activated(link.unit, convolved, residual if link.closes else None)
            steps.append(_Step(x, convolved, saved))
            x = out
        ctx.links, ctx.steps = links, steps
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradient = residual = dense(gradients[0])
        _, x_wanted, *_ = ctx.needs_input_grad
        found: list[Tensor] = []
        while ctx.steps:
            step = ctx.steps.pop()
            link = ctx.links[len(ctx.steps)]
            if link.closes:
                residual = gradient
            wanted = x_wanted or bool(ctx.steps)
            to_x, of_unit = _gradients(link.unit, step, gradient, wanted)
            found[:0] = of_unit
            if to_x is not None:
                gradient = to_x.add_(residual) if link.opens else to_x
        return None, gradient if x_wanted else None, *found


def _activated(unit: Unit, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """What stands behind the convolution; and what its gradients need, shape `(4, channels)`."""
    compiled, norm, slope = cast(Any, kernels()), unit.norm, unit.activation.weight
    out, saved = torch.empty_like(x), x.new_empty(4, x.shape[1])
    if norm is None:
        compiled.activate(
            x.data_ptr(),
            slope.data_ptr(),
            address(residual),
            out.data_ptr(),
            saved.data_ptr(),
            *matrix_shape(x),
        )
        return out, saved
    compiled.normalise_activate(
        x.data_ptr(),
        norm.weight.data_ptr(),
        norm.bias.data_ptr(),
        slope.data_ptr(),
        address(residual),
        address(norm.running_mean),
        address(norm.running_var),
        norm.momentum,
        norm.eps,
        out.data_ptr(),
        saved.data_ptr(),
        *matrix_shape(x),
    )
    cast(Tensor, norm.num_batches_tracked).add_(1)
    return out, saved


def _gradients(
    unit: Unit, step: _Step, gradient: Tensor, x_wanted: bool
) -> tuple[Tensor | None, list[Tensor]]:
    """Gradients of what entered the unit, and of its parameters."""
    x, gradient = step.convolved, dense(gradient)
    to_convolved, to_channels = torch.empty_like(x), x.new_empty(3, x.shape[1])
    cast(Any, kernels()).gradients(
        x.data_ptr(),
        gradient.data_ptr(),
        unit.activation.weight.data_ptr(),
        step.saved.data_ptr(),
        unit.norm is not None,
        to_convolved.data_ptr(),
        to_channels.data_ptr(),
        *matrix_shape(x),
    )
    to_shift, to_scale, to_slope = to_channels.unbind()
    to_x, to_weight = convolution_gradients(
        step.entered, unit.conv.weight, to_convolved, x_wanted=x_wanted
    )
    if unit.norm is None:
        return to_x, [to_weight, to_convolved.sum((0, 2, 3)), to_slope]
    return to_x, [to_weight, to_scale, to_shift, to_slope]
