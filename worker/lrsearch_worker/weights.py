"""Weights as safetensors, with what they are in their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from lrsearch.contract.sources import METADATA_KEY, SourceSpec
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.staged import NetworkError, StagedNetwork


class WeightsError(ValueError):
    """Weights that cannot be read, or that do not fit their network."""


class Weights(NamedTuple):
    """A checkpoint in memory."""

    spec: SourceSpec
    tensors: dict[str, Tensor]
    """Parameters and buffers by name, on the CPU; floating-point ones as float32."""


def to_bytes(tensors: Mapping[str, Tensor], spec: SourceSpec, *, half: bool = False) -> bytes:
    """A safetensors file with `spec` in its metadata.

    Args:
        tensors: A network's state, on any device.
        spec: What the tensors are.
        half: Store kernels and matrices as float16. Vectors (biases, slopes, statistics) stay
            float32: they are small, and variances may exceed float16's range.
    """
    stored = {name: _stored(tensor, half) for name, tensor in tensors.items()}
    return safetensors.torch.save(stored, metadata={METADATA_KEY: spec.model_dump_json()})


def save(
    path: Path, tensors: Mapping[str, Tensor], spec: SourceSpec, *, half: bool = False
) -> None:
    """Write `to_bytes` to `path`, which never holds half a file."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(to_bytes(tensors, spec, half=half))
    partial.replace(path)


def from_bytes(data: bytes) -> Weights:
    """Read a safetensors file that `to_bytes` or anything else made.

    Raises:
        WeightsError: It is no safetensors file, or its metadata hold no valid `SourceSpec`.
    """
    spec = read_spec(data)
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise WeightsError(f"not a whole safetensors file: {error}") from error
    return Weights(spec, {name: _loaded(tensor) for name, tensor in tensors.items()})


def load(path: Path) -> Weights:
    """As `from_bytes`, from a file."""
    return from_bytes(path.read_bytes())


def read_spec(data: bytes) -> SourceSpec:
    """The `SourceSpec` in the metadata of a safetensors file.

    Raises:
        WeightsError: It is no safetensors file, or has no valid specification.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(METADATA_KEY)
    except (ValueError, AttributeError) as error:
        raise WeightsError(f"not a safetensors file: {error}") from error
    if text is None:
        raise WeightsError(
            f"the safetensors metadata have no '{METADATA_KEY}'; it must hold the JSON of a "
            "SourceSpec (architecture, input_size, mean, std)"
        )
    try:
        return SourceSpec.model_validate_json(text)
    except ValidationError as error:
        raise WeightsError(
            f"the safetensors metadata '{METADATA_KEY}' are invalid: {error}"
        ) from error


def load_into(network: StagedNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `network`: all of it, and nothing more.

    Raises:
        WeightsError: Names or shapes differ; the message lists which.
    """
    _check_fit(network.state_dict(), tensors)
    network.load_state_dict(tensors)


def source_network(weights: Weights | SourceSpec, labels: int, seed: int) -> StagedNetwork:
    """A network to finetune: the source's five inner stages and a new head.

    Args:
        weights: The source; a bare specification means random initialisation.
        labels: Labels of the target.
        seed: Of the head (and of everything, with a bare specification).

    Raises:
        WeightsError: The weights do not fit their architecture.
    """
    if isinstance(weights, SourceSpec):
        return build(weights.architecture, labels, seed)
    network = complete_network(weights)
    network.replace_head(labels, torch.Generator().manual_seed(seed))
    return network


def complete_network(weights: Weights) -> StagedNetwork:
    """The network just as the checkpoint has it, with its own head.

    Raises:
        WeightsError: The weights do not fit their architecture.
    """
    spec = weights.spec
    try:
        network = build(spec.architecture, 1, seed=0)
        network.check_input(spec.input_size)
    except NetworkError as error:
        raise WeightsError(str(error)) from error
    name = f"{network.head_name}.weight"
    head = weights.tensors.get(name)
    if head is None or head.ndim != 2 or len(head) == 0:
        raise WeightsError(f"'{name}' is missing or no matrix; it tells the number of labels")
    if spec.labels is not None and len(spec.labels) != len(head):
        raise WeightsError(f"the head has {len(head)} outputs, but labels names {len(spec.labels)}")
    network.replace_head(len(head), torch.Generator())
    load_into(network, weights.tensors)
    return network


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.is_floating_point() and tensor.ndim > 1 else tensor


def _loaded(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _check_fit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    problems = [
        ("missing", sorted(expected.keys() - given.keys())),
        ("unexpected", sorted(given.keys() - expected.keys())),
        (
            "of another shape",
            [
                f"{name} {tuple(given[name].shape)} instead of {tuple(expected[name].shape)}"
                for name in expected
                if name in given and given[name].shape != expected[name].shape
            ],
        ),
        (
            "not finite",
            [n for n, t in given.items() if t.is_floating_point() and not t.isfinite().all()],
        ),
    ]
    found = [f"{kind}: {_shortened(names)}" for kind, names in problems if names]
    if found:
        raise WeightsError(f"the weights do not fit the network; {'; '.join(found)}")


def _shortened(names: list[str], shown: int = 8) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
