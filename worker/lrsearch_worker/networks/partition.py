"""Where a network of any library is divided into five stages and a head."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import torch
from torch import nn

from lrsearch.contract.rates import INNER_STAGES, STAGES, Stage
from lrsearch_worker.networks.steps import Graph, Run, Step, depth_of

StepsOf = Callable[[Graph], list[Step]]

_STAGES: Final = len(INNER_STAGES)


class Part(NamedTuple):
    """What a stage consists of."""

    modules: tuple[str, ...]
    """Names of the submodules that it calls before any other stage does."""
    tensors: tuple[str, ...]
    """Names of the parameters and buffers that it reads besides, before any other stage does."""
    run: Run
    """Runs it."""


class Partition(NamedTuple):
    """A network's stages."""

    parts: dict[Stage, Part]
    is_chain: bool
    """Whether a single tensor passes from each stage to the next."""
    head: str
    """Name of the last layer."""
    owners: dict[str, Stage]
    """The stage of each parameter and buffer."""


def partition(network: nn.Module, side: int) -> Partition:
    """Divide a classifier into stages, each of which ends where its maps get smaller.

    A new level begins with the layer that leaves at most half of the places (pixels, tokens). Of
    more than five levels, neighbours with the fewest layers together are joined; of fewer, the
    ones with the most layers are divided evenly. What stands between the last map and the head
    belongs to conv5. A network that is too short a chain is divided between any two operations.

    Args:
        network: Its forward takes normalised images; it is put into evaluation mode.
        side: Pixels a side of an image that the network can take.

    Raises:
        ValueError: The network cannot be traced, has fewer than five layers one after the other,
            or does not end with a linear layer.
    """
    network.eval()
    image = torch.zeros(1, 3, side, side)
    for steps_of in (Graph.chain, Graph.pieces):
        graph = _opened(network, image, steps_of)
        head, steps = _head(network, graph), steps_of(graph)
        if stages := _stages(steps):
            break
    else:
        raise ValueError(f"it has {len(steps)} layers; five stages and a head need at least 6")
    parts: dict[Stage, Part] = {}
    known: set[str] = set()
    for stage, group in zip(STAGES, [*stages, [steps[-1]]], strict=True):
        start, end = group[0].start, group[-1].end
        modules = dict.fromkeys(n for n in graph.calls(start, end) if n not in known)
        tensors = dict.fromkeys(n for n in graph.reads(start, end) if n not in known)
        known.update(modules, tensors)
        parts[stage] = Part(tuple(modules), tuple(tensors), graph.function(start, end))
    return Partition(parts, steps_of is Graph.chain, head, _owners(network, parts))


def _owners(network: nn.Module, parts: dict[Stage, Part]) -> dict[str, Stage]:
    """The stage of each tensor; a buffer that nothing reads is no more than a note, in conv1."""
    owners: dict[str, Stage] = {name: "conv1" for name, _ in network.named_buffers()}
    for stage, part in reversed(parts.items()):
        inside = (f"{m}.{n}" for m in part.modules for n in _tensors(network.get_submodule(m)))
        owners |= dict.fromkeys((*inside, *part.tensors), stage)
    for name, _ in network.named_parameters():
        if name not in owners:
            raise ValueError(f"nothing that it runs uses '{name}', which then belongs to no stage")
    return owners


def _tensors(module: nn.Module) -> list[str]:
    named = (module.named_parameters, module.named_buffers)
    return [name for each in named for name, _ in each(remove_duplicate=False)]


def _opened(network: nn.Module, image: torch.Tensor, steps_of: StepsOf) -> Graph:
    """The graph with as few submodules opened as the division of its steps needs."""
    try:
        graph = Graph(network, frozenset([""]), image)
    except Exception as error:
        raise ValueError(f"its forward cannot be traced: {error}") from error
    opened, whole = frozenset([""]), set[str]()
    while name := next(
        (n for n in _coarse(network, graph, steps_of(graph)) if n not in whole), None
    ):
        try:
            finer = Graph(network, opened | {name}, image)
        except Exception:
            whole.add(name)  # it has code that cannot be traced
            continue
        inside = [n for step in finer.pieces() for n in step.layers if n.startswith(f"{name}.")]
        if len(inside) == 1 or len(steps_of(finer)) > len(steps_of(graph)):
            graph, opened = finer, opened | {name}
        else:
            whole.add(name)  # a block: what is in it does not run one after the other
    return graph


def _coarse(network: nn.Module, graph: Graph, steps: Sequence[Step]) -> list[str]:
    """Submodules that one has to look into, the most urgent first."""
    if not isinstance(network.get_submodule(last := _last_layer(graph)), nn.Linear):
        return [last]
    levels = _joined(_levels(_body(steps)))
    coarse = [s for s in steps if s.entering and s.places and s.entering >= 8 * s.places]
    for level, parts in zip(levels, _shares(levels), strict=True):
        coarse += [s for s in level if parts > 1 and s.depth > _depth(level) / parts]
    names = [n for step in coarse for n in step.layers]
    depths = {n: depth_of(network.get_submodule(n)) for n in names}
    return sorted((n for n in depths if depths[n] > 1), key=lambda n: -depths[n])


def _last_layer(graph: Graph) -> str:
    return graph.pieces()[-1].layers[-1]


def _head(network: nn.Module, graph: Graph) -> str:
    """Name of the last layer, which is to be linear and the only one on the features."""
    name = _last_layer(graph)
    if not isinstance(last := network.get_submodule(name), nn.Linear):
        raise ValueError(
            f"its last layer is '{name}', a {type(last).__name__}; only a Linear layer can be "
            "replaced by one for other labels"
        )
    if (layers := graph.chain()[-1].layers) != (name,):
        raise ValueError(f"it ends with several layers side by side: {', '.join(layers)}")
    return name


def _stages(steps: Sequence[Step]) -> list[list[Step]] | None:
    """The steps of the five inner stages, or `None` where there are too few."""
    levels = _joined(_levels(_body(steps)))
    parts = _shares(levels, limited=True)
    if sum(parts) < _STAGES:
        return None
    groups = [group for level, n in zip(levels, parts, strict=True) for group in _evenly(level, n)]
    last = groups[-1][-1]
    groups[-1] += [step for step in steps[:-1] if step.start >= last.end]
    return groups


def _body(steps: Sequence[Step]) -> list[Step]:
    """The steps that give maps."""
    body = []
    for step in steps[:-1]:
        if step.places is None or step.places == 1:
            break
        body.append(step)
    return body


def _levels(steps: Sequence[Step]) -> list[list[Step]]:
    """Steps whose maps have about the same size."""
    levels: list[list[Step]] = []
    for step in steps:
        if levels and 2 * (step.places or 0) > (levels[-1][0].places or 0):
            levels[-1].append(step)
        else:
            levels.append([step])
    return levels


def _joined(levels: list[list[Step]]) -> list[list[Step]]:
    """At most five levels."""
    while len(levels) > _STAGES:
        depths = [_depth(a) + _depth(b) for a, b in pairwise(levels)]
        i = depths.index(min(depths))
        levels = [*levels[:i], levels[i] + levels[i + 1], *levels[i + 2 :]]
    return levels


def _shares(levels: list[list[Step]], *, limited: bool = False) -> list[int]:
    """How many stages each level is to give; `limited`: none more than it has steps."""
    parts = [1] * len(levels)
    while sum(parts) < _STAGES:
        rooms = [i for i, level in enumerate(levels) if not limited or parts[i] < len(level)]
        if not rooms:
            break
        parts[max(rooms, key=lambda i: _depth(levels[i]) / parts[i])] += 1
    return parts


def _evenly(level: list[Step], parts: int) -> list[list[Step]]:
    """A level's steps in `parts` groups of about as many layers."""
    depths = list(accumulate(step.depth for step in level))
    groups, start = [], 0
    for k in range(1, parts):
        wanted = depths[-1] * k / parts
        ends = range(start + 1, len(level) - (parts - k) + 1)
        end = min(ends, key=lambda e: abs(depths[e - 1] - wanted))
        groups.append(level[start:end])
        start = end
    return [*groups, level[start:]]


def _depth(steps: Sequence[Step]) -> int:
    return sum(step.depth for step in steps)
