"""The arithmetic floor: what the trials would take if the machine did nothing but multiply.

Multiply-adds of the convolutions and the last layer alone, counted by shape, divided by the best
rate at which this machine multiplies float32 matrices, or convolves, on all of its cores.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.staged import StagedNetwork

_LARGE: Final = (2048, 2048, 2048)
_MAPS: Final = ((64, 64, 32, 32), (64, 128, 32, 32))  # so large that padding does not count
_SECONDS_EACH: Final = 0.06


class Work(NamedTuple):
    """Multiply-adds, by where they occur."""

    prefix: int
    """What is frozen in all: once for each training and validation image."""
    forward: int
    backward: int
    evaluation: int


class Rate(NamedTuple):
    """How fast the machine multiplies."""

    per_second: float
    """Multiply-adds."""
    shape: tuple[int, ...]
    """Of what was the fastest: rows, inner size and columns of a product, or images, channels,
    height and width of a convolution of 3 × 3."""


def count_work(task: LoadedTask, trials: Iterable[StageRates], *, padding: bool) -> Work:
    """Multiply-adds of whole finetunes that share what is frozen from the input on.

    A stage that trains costs a forward pass, the gradient of its weights and that of its input;
    the first layer that trains needs none of its input.

    Args:
        task: Whose network, images and recipe they are.
        trials: The finetunes.
        padding: Count the products with the zeros around a map, as is usual; on the small maps
            of the last stages they are more than half.
    """
    network, side = task.network(), task.images.side
    stages = {name: _stage_work(network, i, side, padding) for i, name in enumerate(STAGES)}
    train, validation = task.size("train"), task.size("validation")
    deepest = forward = backward = evaluation = 0
    for rates in trials:
        deepest = max(deepest, rates.frozen_prefix)
        above = STAGES[rates.frozen_prefix :]
        once = sum(sum(stages[name]) for name in above)
        weights = sum(sum(stages[name]) for name in above if rates[name] > 0.0)
        inputs = once - stages[above[0]][0]
        forward += once * train * task.recipe.epochs
        backward += (weights + inputs) * train * task.recipe.epochs
        evaluation += once * validation * task.recipe.epochs
    prefix = sum(sum(stages[name]) for name in STAGES[:deepest]) * (train + validation)
    return Work(prefix, forward, backward, evaluation)


def _stage_work(network: StagedNetwork, stage: int, side: int, padding: bool) -> list[int]:
    """Multiply-adds of one image in each layer of a stage, forward."""
    found: list[int] = []

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            height, width = output.shape[-2:]
            inside = (3 * height - 2) * (3 * width - 2)
            pairs = 9 * height * width if padding else inside
            found.append(pairs * module.in_channels * module.out_channels)
        elif isinstance(module, nn.Linear):
            found.append(module.weight.numel())

    network.eval()
    layers = network.stage(STAGES[stage]).modules()
    hooks = [layer.register_forward_hook(note) for layer in layers]
    with torch.enable_grad():  # else normalisation is folded, and a layer is no call of its own
        network.run(torch.zeros(1, 3, side, side), 0, stage + 1)
    for hook in hooks:
        hook.remove()
    return found


def measure_rate(task: LoadedTask, threads: int) -> Rate:
    """The best rate over products shaped as the network's convolutions, a large one, and maps."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        products = [Rate(_product_rate(shape), shape) for shape in (*_shapes(task), _LARGE)]
        return max(*products, *(Rate(_convolution_rate(shape), shape) for shape in _MAPS))
    finally:
        torch.set_num_threads(before)


def _shapes(task: LoadedTask) -> set[tuple[int, int, int]]:
    """Of each convolution as a product: pixels of a batch, taps, output channels."""
    shapes: set[tuple[int, int, int]] = set()

    def note(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            rows = task.recipe.batch_size * output[0, 0].numel()
            shapes.add((rows, module.weight[0].numel(), module.out_channels))

    network = task.network().eval()
    hooks = [module.register_forward_hook(note) for module in network.modules()]
    with torch.enable_grad():  # see above
        network(torch.zeros(1, 3, task.images.side, task.images.side))
    for hook in hooks:
        hook.remove()
    return shapes


def _product_rate(shape: tuple[int, int, int]) -> float:
    """Multiply-adds a second."""
    rows, inner, columns = shape
    a, b = torch.randn(rows, inner), torch.randn(inner, columns)
    out = a @ b
    return rows * inner * columns / _fastest(lambda: torch.mm(a, b, out=out))


def _convolution_rate(shape: tuple[int, int, int, int]) -> float:
    """Multiply-adds a second of a convolution that keeps the channels."""
    images, channels, height, width = shape
    maps = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=torch.channels_last)
    seconds = _fastest(lambda: torch.conv2d(maps, weight, padding=1))
    return images * height * width * 9 * channels**2 / seconds


def _fastest(run: Callable[[], object]) -> float:
    """Seconds of the fastest of many."""
    run()
    fastest = float("inf")
    ends = time.perf_counter() + _SECONDS_EACH
    while time.perf_counter() < ends:
        before = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - before)
    return fastest
