"""Checkpoints: a trial between two epochs, as a file that another worker goes on from.

A file holds the parameters and buffers of the stages that train, the optimiser's momentum, and a
few numbers; what is frozen is the source's and is not stored. There is no random state to store:
the rates are a function of the epoch, the order of the images of seed and epoch, the views of
seed, view and image, and nothing else is drawn. So a trial that goes on from a checkpoint ends as
if nothing had happened: bitwise on the CPU, where processor and versions are the same.
"""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

import safetensors.torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from lrsearch.contract.base import Contract, Identifier, Seconds
from lrsearch.contract.leases import TrialWork
from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics

METADATA_KEY: Final = "lrsearch_checkpoint"
NETWORK: Final = "network/"
MOMENTUM: Final = "momentum/"


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that is of something else."""


class TrainingState(NamedTuple):
    """All that the rest of a finetune depends on, besides its task and rates."""

    epochs: int
    """Done so far."""
    steps: int
    """Of the optimiser, done so far."""
    micro_batch: int | None
    """Images computed at a time, where batches had to be cut."""
    tensors: dict[str, Tensor]
    """Parameters and buffers of the stages that train, by name; on the CPU."""
    momentum: dict[str, Tensor]
    """The optimiser's, by parameter; on the CPU. Those that never had a gradient have none."""


class Progress(NamedTuple):
    """How far a trial is."""

    curve: list[EpochMetrics]
    """All epochs so far."""
    seconds: float
    """Spent so far, by the attempts that led here."""
    training: TrainingState


class _Header(Contract):
    """What stands in the metadata, as JSON."""

    trial_id: Identifier
    rates: StageRates
    curve: list[EpochMetrics] = Field(min_length=1)
    seconds: Seconds
    steps: int = Field(ge=0)
    micro_batch: int | None = Field(ge=1)


def to_bytes(work: TrialWork, progress: Progress) -> bytes:
    """A safetensors file with the progress of a trial."""
    curve, seconds, training = progress
    header = _Header(
        trial_id=work.id,
        rates=work.rates,
        curve=curve,
        seconds=seconds,
        steps=training.steps,
        micro_batch=training.micro_batch,
    )
    tensors = {NETWORK + name: t.contiguous() for name, t in training.tensors.items()}
    tensors |= {MOMENTUM + name: t.contiguous() for name, t in training.momentum.items()}
    return safetensors.torch.save(tensors, metadata={METADATA_KEY: header.model_dump_json()})


def from_bytes(data: bytes, work: TrialWork) -> Progress:
    """The progress of a trial.

    Raises:
        CheckpointError: It is no checkpoint, or one of another trial or of other rates.
    """
    header = _header(data)
    if header.trial_id != work.id:
        raise CheckpointError(f"the checkpoint is of trial {header.trial_id} instead of {work.id}")
    if header.rates != work.rates:
        raise CheckpointError(
            f"the checkpoint is of the rates {dict(header.rates.items())} instead of "
            f"{dict(work.rates.items())}"
        )
    if [metrics.epoch for metrics in header.curve] != [*range(1, len(header.curve) + 1)]:
        raise CheckpointError("the checkpoint's curve does not have each epoch from 1 on once")
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(f"the checkpoint is no whole safetensors file: {error}") from error
    training = TrainingState(
        epochs=len(header.curve),
        steps=header.steps,
        micro_batch=header.micro_batch,
        tensors=_below(NETWORK, tensors),
        momentum=_below(MOMENTUM, tensors),
    )
    return Progress(header.curve, header.seconds, training)


def require_fit(state: TrainingState, tensors: Mapping[str, Tensor], trained: set[str]) -> None:
    """Check that a state is of this network, frozen in the same stages.

    Args:
        state: From a checkpoint.
        tensors: Parameters and buffers of the network's stages that train.
        trained: Names of the parameters among them.

    Raises:
        CheckpointError: Names, shapes or types differ; the message lists which.
    """
    problems = {
        "missing": tensors.keys() - state.tensors.keys(),
        "unexpected": (state.tensors.keys() - tensors.keys()) | (state.momentum.keys() - trained),
        "of another shape or type": {
            name
            for given in (state.tensors, state.momentum)
            for name, tensor in given.items()
            if name in tensors and _form(tensor) != _form(tensors[name])
        },
    }
    found = [f"{kind}: {', '.join(sorted(names)[:8])}" for kind, names in problems.items() if names]
    if found:
        raise CheckpointError(f"the checkpoint does not fit the network; {'; '.join(found)}")


def _header(data: bytes) -> _Header:
    length = int.from_bytes(data[:8], "little")
    try:
        return _Header.model_validate_json(
            json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY]
        )
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"not a checkpoint: {type(error).__name__}: {error}") from error


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _form(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype
