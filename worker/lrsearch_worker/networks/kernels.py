"""Pointwise arithmetic on the CPU in as few passes over memory as it needs (compiled by numba).

Torch takes some ten passes for batch normalisation, PReLU and their gradients, and its kernel for
PReLU's gradient is not vectorised; these take five, and a tenth of the time for maps that fit into
a core's cache. They hold no interpreter lock, use one thread, and sum in a fixed order.

Everything is float32 and comes by its address, because the maps of small networks take less time
to compute than to wrap. Maps are matrices `(rows, lanes)` in channels-last order: a row is one or
more pixels, so that its loops are long enough to be vectorised; lane `i` belongs to channel
`i % channels`. What is given for each channel has the shape `(channels,)`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba import float32
from numba.core import cgutils, types
from numba.extending import intrinsic

ZERO: Final = float32(0.0)

BLOCK_ROWS: Final = 16
"""Rows that are read twice before the next: some 32 KiB."""

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile on first use, and keep the machine code where there is a folder to keep it in."""
    compile_: Any = partial(
        numba.njit, nogil=True, error_model="numpy", fastmath={"contract"}, boundscheck=False
    )
    try:
        return cast(Function, compile_(function, cache=True))
    except RuntimeError:  # "no locator available": neither the package nor the home is writable
        return cast(Function, compile_(function))


@compiled
def normalise_activate(
    x: int,
    weight: int,
    bias: int,
    slope: int,
    residual: int,
    running_mean: int,
    running_variance: int,
    momentum: float,
    epsilon: float,
    out: int,
    saved: int,
    rows: int,
    lanes: int,
    channels: int,
) -> None:
    """`out = residual + prelu(weight × (x - mean) / deviation + bias)`, as `nn.BatchNorm2d` trains.

    `residual` may be 0 for none. `saved`, shape `(4, channels)`, becomes the batch's mean and
    deviation, and the scale and shift that they make; the running statistics move.
    """
    maps = _matrix(x, rows, lanes)
    kept = _matrix(saved, 4, channels)
    mean, deviation, scale, shift = kept[0], kept[1], kept[2], kept[3]
    _moments(maps, mean, deviation)
    means, variances = _row(running_mean, channels), _row(running_variance, channels)
    weights, biases = _row(weight, channels), _row(bias, channels)
    count = rows * (lanes // channels)
    new, unbiased = float32(momentum), float32(count / (count - 1.0))
    for c in range(channels):
        means[c] += new * (mean[c] - means[c])
        variances[c] += new * (unbiased * deviation[c] - variances[c])
        deviation[c] = np.sqrt(deviation[c] + float32(epsilon))
        scale[c] = weights[c] / deviation[c]
        shift[c] = biases[c] - mean[c] * scale[c]
    _activate(maps, scale, shift, _row(slope, channels), residual, _matrix(out, rows, lanes))


@compiled
def activate(
    x: int,
    slope: int,
    residual: int,
    out: int,
    saved: int,
    rows: int,
    lanes: int,
    channels: int,
) -> None:
    """`out = residual + prelu(x)`; `saved` becomes what a normalisation that does nothing has."""
    kept = _matrix(saved, 4, channels)
    kept[0], kept[1], kept[2], kept[3] = ZERO, float32(1.0), float32(1.0), ZERO
    slopes, target = _row(slope, channels), _matrix(out, rows, lanes)
    _activate(_matrix(x, rows, lanes), kept[2], kept[3], slopes, residual, target)


@compiled
def activate_in_place(
    x: int, slope: int, residual: int, rows: int, lanes: int, channels: int
) -> None:
    """`x = residual + prelu(x)`; `residual` may be 0 for none."""
    maps, s = _matrix(x, rows, lanes), _spread(_row(slope, channels), lanes)
    for i in range(rows):
        for lane in range(lanes):
            z = maps[i, lane]
            maps[i, lane] = z if z > ZERO else s[lane] * z
    if residual != 0:
        other = _matrix(residual, rows, lanes)
        for i in range(rows):
            for lane in range(lanes):
                maps[i, lane] += other[i, lane]


@compiled
def gradients(
    x: int,
    gradient: int,
    slope: int,
    saved: int,
    normalised: bool,
    to_x: int,
    to_channels: int,
    rows: int,
    lanes: int,
    channels: int,
) -> None:
    """From the gradient of `out` to those of `x` and, `(3, channels)`, of bias, weight and slope.

    `saved` is what the forward operation left; `normalised` tells whether its mean and deviation
    were the batch's, and so depend on `x`.
    """
    maps, received = _matrix(x, rows, lanes), _matrix(gradient, rows, lanes)
    kept, sums = _matrix(saved, 4, channels), _matrix(to_channels, 3, channels)
    mean, deviation, scale, shift = kept[0], kept[1], kept[2], kept[3]
    slopes = _row(slope, channels)
    _sum_gradients(maps, received, scale, shift, slopes, mean, sums)
    constant, factor = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    if normalised:
        count = float32(rows * (lanes // channels))
        for c in range(channels):
            sums[1, c] /= deviation[c]
            factor[c] = scale[c] * sums[1, c] / (deviation[c] * count)
            constant[c] = scale[c] * sums[0, c] / count - factor[c] * mean[c]
    target = _matrix(to_x, rows, lanes)
    a, b, s = _spread(scale, lanes), _spread(shift, lanes), _spread(slopes, lanes)
    p, q = _spread(constant, lanes), _spread(factor, lanes)
    for i in range(rows):
        for lane in range(lanes):
            v, g = maps[i, lane], received[i, lane]
            h = g if a[lane] * v + b[lane] > ZERO else s[lane] * g
            target[i, lane] = a[lane] * h - p[lane] - q[lane] * v


@compiled
def descend(
    parameters: Any,
    gradients: Any,
    velocities: Any,
    sizes: Any,
    rates: Any,
    momentum: float,
    decay: float,
) -> None:
    """A step of stochastic gradient descent, as `torch.optim.SGD` takes it, for many tensors.

    Args:
        parameters: Addresses, int64; so are `gradients` and `velocities`.
        gradients: In the parameters' order in memory.
        velocities: The momentum's buffers; 0 before the first step.
        sizes: Numbers in each tensor, int64.
        rates: Learning rate of each tensor, float32.
        momentum: Share of the velocity that stays.
        decay: Weight decay.
    """
    keep, shrink = float32(momentum), float32(decay)
    for k in range(len(sizes)):
        parameter, gradient = _row(parameters[k], sizes[k]), _row(gradients[k], sizes[k])
        velocity, rate = _row(velocities[k], sizes[k]), rates[k]
        for i in range(sizes[k]):
            step = keep * velocity[i] + (gradient[i] + shrink * parameter[i])
            velocity[i] = step
            parameter[i] -= rate * step


@compiled
def _moments(x: Any, mean: Any, variance: Any) -> None:
    """Mean and (biased) variance of each channel.

    Each lane's are those of blocks that fit into a core's nearest cache, put together (Chan et
    al., 1983); so memory is read once, and rounding does not grow with the number of pixels.
    """
    rows, lanes = x.shape
    channels = len(mean)
    means, squares = np.zeros(lanes, np.float32), np.zeros(lanes, np.float32)
    sums, squares_here = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    for start in range(0, rows, BLOCK_ROWS):
        end = min(start + BLOCK_ROWS, rows)
        sums[:] = ZERO
        for i in range(start, end):
            for lane in range(lanes):
                sums[lane] += x[i, lane]
        here = float32(end - start)
        for lane in range(lanes):
            sums[lane] /= here
        squares_here[:] = ZERO
        for i in range(start, end):
            for lane in range(lanes):
                distance = x[i, lane] - sums[lane]
                squares_here[lane] += distance * distance
        share, weight = here / float32(end), here * float32(start) / float32(end)
        for lane in range(lanes):
            distance = sums[lane] - means[lane]
            means[lane] += distance * share
            squares[lane] += squares_here[lane] + distance * distance * weight
    _fold(means, mean)
    copies = float32(lanes // channels)
    for c in range(channels):
        mean[c] /= copies
    centre = _spread(mean, lanes)
    for lane in range(lanes):
        distance = means[lane] - centre[lane]
        squares[lane] += float32(rows) * distance * distance
    _fold(squares, variance)
    for c in range(channels):
        variance[c] /= float32(rows) * copies


@compiled
def _activate(x: Any, scale: Any, shift: Any, slope: Any, residual: int, out: Any) -> None:
    rows, lanes = x.shape
    a, b, s = _spread(scale, lanes), _spread(shift, lanes), _spread(slope, lanes)
    if residual == 0:
        for i in range(rows):
            for lane in range(lanes):
                z = a[lane] * x[i, lane] + b[lane]
                out[i, lane] = z if z > ZERO else s[lane] * z
    else:
        other = _matrix(residual, rows, lanes)
        for i in range(rows):
            for lane in range(lanes):
                z = a[lane] * x[i, lane] + b[lane]
                out[i, lane] = other[i, lane] + (z if z > ZERO else s[lane] * z)


@compiled
def _sum_gradients(
    x: Any, gradient: Any, scale: Any, shift: Any, slope: Any, mean: Any, sums: Any
) -> None:
    """With `z = scale × x + shift` and `h` its gradient, the sums over each channel's pixels.

    `sums` becomes those of `h`, of `h × (x - mean)`, and of `gradient × min(z, 0)`.
    """
    rows, lanes = x.shape
    a, b, s = _spread(scale, lanes), _spread(shift, lanes), _spread(slope, lanes)
    centre = _spread(mean, lanes)
    first, second, third = np.zeros((3, lanes), np.float32)
    for i in range(rows):
        for lane in range(lanes):
            v, g = x[i, lane], gradient[i, lane]
            z = a[lane] * v + b[lane]
            h = g if z > ZERO else s[lane] * g
            first[lane] += h
            second[lane] += h * (v - centre[lane])
            third[lane] += ZERO if z > ZERO else g * z
    _fold(first, sums[0])
    _fold(second, sums[1])
    _fold(third, sums[2])


@compiled
def _spread(channel: Any, lanes: int) -> Any:
    """One number a lane from one number a channel."""
    channels = len(channel)
    out = np.empty(lanes, np.float32)
    for start in range(0, lanes, channels):
        for c in range(channels):
            out[start + c] = channel[c]
    return out


@compiled
def _fold(lane: Any, out: Any) -> None:
    """Sum the lanes of each channel."""
    channels = len(out)
    out[:] = ZERO
    for start in range(0, len(lane), channels):
        for c in range(channels):
            out[c] += lane[start + c]


@compiled
def _matrix(address: int, rows: int, lanes: int) -> Any:
    pointer: Any = _pointer(address)  # type: ignore[call-arg]  # numba gives the context
    return numba.carray(pointer, (rows, lanes), np.float32)


@compiled
def _row(address: int, length: int) -> Any:
    pointer: Any = _pointer(address)  # type: ignore[call-arg]  # numba gives the context
    return numba.carray(pointer, (length,), np.float32)


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """An address as numba's pointer type."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate
