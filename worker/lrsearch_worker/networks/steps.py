"""A network as steps: what runs between two places where a single tensor passes.

The network is traced into a graph of its submodules (`torch.fx`), and one image is run through it
to see the shapes. Only what has to be looked into is opened; blocks stay whole.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, fx, nn

Run = Callable[..., tuple[Any, ...]]
"""Runs part of a network: takes the network and what enters, gives what leaves."""

READS: Final = "get_attr"
"""Operation of a graph that reads a parameter or buffer; it may stand wherever it is needed."""


class Step(NamedTuple):
    """Consecutive operations of a graph, with at least one layer among them."""

    start: int
    """Position of its first operation."""
    end: int
    """Position after its last operation."""
    layers: tuple[str, ...]
    """Submodules that hold kernels or matrices, in the order of their calls."""
    depth: int
    """Kernels and matrices in them."""
    entering: int | None
    """Places of the map that enters; `None` where it is no map."""
    places: int | None
    """Places of the map (pixels or tokens) that its last layer gives."""


class Graph:
    """A traced network and what was seen when an image ran through it.

    Args:
        network: In evaluation mode.
        opened: Names of the submodules that are looked into; all others stay whole.
        image: Of shape `(1, 3, side, side)`.

    Raises:
        Exception: Whatever the network's own code raises when it is traced or run.
    """

    def __init__(self, network: nn.Module, opened: frozenset[str], image: Tensor) -> None:
        self.network = network
        self.graph = _Tracer(opened).trace(network)
        self.operations = [n for n in self.graph.nodes if n.op not in ("placeholder", "output")]
        self._position = {n: i for i, n in enumerate(self.operations)}
        seen = _Recorder(network, self.graph)
        with torch.no_grad():
            seen.run(image)
        self._shapes = seen.shapes
        self._unchanged = seen.unchanged()
        self._depths = self._count_layers()

    def chain(self) -> list[Step]:
        """The steps; a single tensor passes from each to the next, and none changes what it got."""
        ends = [i + 1 for i in range(len(self.operations)) if self._one_tensor_after(i)]
        return self._steps(ends)

    def pieces(self) -> list[Step]:
        """The steps of a network that is no chain: several tensors may pass from one to another."""
        return self._steps(list(range(1, len(self.operations) + 1)))

    def crossing(self, end: int) -> list[fx.Node]:
        """What is made before the operation at `end` and needed there or later."""
        return [
            node
            for node in self.graph.nodes
            if node.op not in (READS, "output")
            and self._position.get(node, -1) < end
            and any(self._position.get(user, len(self.operations)) >= end for user in node.users)
        ]

    def reads(self, start: int, end: int) -> Iterator[str]:
        """Names of the parameters and buffers that the operations read themselves."""
        for node in self.operations[start:end]:
            yield from (str(n.target) for n in node.all_input_nodes if n.op == READS)

    def calls(self, start: int, end: int) -> list[str]:
        """Names of the submodules that the operations call."""
        return [str(n.target) for n in self.operations[start:end] if n.op == "call_module"]

    def function(self, start: int, end: int) -> Run:
        """The operations from `start` to `end` as a function of the network and what enters."""
        part = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for node in self.crossing(start):
            copies[node] = part.placeholder(node.name)

        def copied(node: fx.Node) -> fx.Node:
            if node not in copies:
                copies[node] = part.node_copy(node, copied)
            return copies[node]

        for node in self.operations[start:end]:
            if node.op != READS:
                copied(node)
        leaving = self.crossing(end) or [self.operations[-1]]
        part.output(tuple(copies[node] for node in leaving))
        # The function is bound to no network: it finds what it needs in the one that it is given.
        run: Run = type(fx.GraphModule(self.network, part)).forward
        return run

    def _steps(self, ends: list[int]) -> list[Step]:
        """Steps that end at `ends`; those without layers belong to the step before."""
        starts = [0]
        for start, end in zip([0, *ends], ends, strict=False):
            if start > 0 and self._layers(start, end) and self._layers(starts[-1], start):
                starts.append(start)
        return [
            self._step(start, end)
            for start, end in zip(starts, [*starts[1:], len(self.operations)], strict=True)
        ]

    def _step(self, start: int, end: int) -> Step:
        layers = self._layers(start, end)
        entering = self.crossing(start)
        return Step(
            start,
            end,
            tuple(str(node.target) for node in layers),
            sum(self._depths[node] for node in layers),
            _places(self._shapes[entering[0]]) if entering else None,
            _places(self._shapes[layers[-1]]) if layers else None,
        )

    def _layers(self, start: int, end: int) -> list[fx.Node]:
        return [node for node in self.operations[start:end] if node in self._depths]

    def _count_layers(self) -> dict[fx.Node, int]:
        """Kernels and matrices of each operation that is the first call of a submodule with any."""
        depths: dict[fx.Node, int] = {}
        called = set()
        for node in self.operations:
            if node.op == "call_module" and node.target not in called:
                called.add(node.target)
                depth = depth_of(self.network.get_submodule(str(node.target)))
                if depth:
                    depths[node] = depth
        return depths

    def _one_tensor_after(self, position: int) -> bool:
        crossing = self.crossing(position + 1)
        return len(crossing) == 1 and crossing[0] in self._unchanged


def depth_of(module: nn.Module) -> int:
    """Kernels and matrices in a module."""
    return sum(parameter.ndim > 1 for parameter in module.parameters())


class _Tracer(fx.Tracer):
    def __init__(self, opened: frozenset[str]) -> None:
        super().__init__()
        self._opened = opened

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self._opened

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """The network and its images; other arguments keep their defaults."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]


class _Recorder(fx.Interpreter):
    """Runs a graph and remembers the shape of everything, and what was changed in place."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.shapes: dict[fx.Node, torch.Size | None] = {}
        self._versions: list[tuple[fx.Node, Tensor, int]] = []

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        first = value[0] if isinstance(value, tuple | list) and value else value
        self.shapes[n] = first.shape if isinstance(first, Tensor) else None
        if isinstance(value, Tensor):
            self._versions.append((n, value, value._version))
        return value

    def unchanged(self) -> set[fx.Node]:
        """What is a single tensor and was not changed in place after it was made."""
        return {node for node, tensor, version in self._versions if tensor._version == version}


def _places(shape: torch.Size | None) -> int | None:
    """Pixels or tokens of a map of any layout, made of a square image; `None`: it is no map."""
    if shape is None or len(shape) not in (3, 4):
        return None
    if len(shape) == 3:
        return shape[1]
    _, a, b, c = shape
    return math.prod((a, b) if a == b != c else (b, c))
