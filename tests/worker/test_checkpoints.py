"""Checkpoints: a finetune goes on from one as if nothing had happened, and from no other's."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from lrsearch.contract.leases import TrialWork
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import NoAugmentation, Recipe, Views
from lrsearch.contract.sources import ResNet27, SourceSpec
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.data.images import Images
from lrsearch_worker.engine.checkpoints import (
    CheckpointError,
    Progress,
    TrainingState,
    from_bytes,
    to_bytes,
)
from lrsearch_worker.engine.finetune import DivergedError, Finetune
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import Weights

EPOCHS = 3
RATES = {
    "head only": StageRates.of(0.0, 0.01),
    "graduated": StageRates(conv1=0, conv2=0.004, conv3=0.008, conv4=0.01, conv5=0.03, head=0.06),
    "uniform": StageRates.of(0.01, 0.01),
    "gap": StageRates(conv1=0.01, conv2=0.0, conv3=0.01, conv4=0.0, conv5=0.0, head=0.01),
}
VIEWS = Views(views=2)
WAYS = list(itertools.product(RATES, ["none", "batch"], ["step", "cosine"], [None, VIEWS]))


def task(images: Images, norm: str = "batch", **recipe: Any) -> LoadedTask:
    architecture = ResNet27.model_validate({"width": 0.0625, "norm": norm})
    spec = SourceSpec(architecture=architecture, input_size=16)
    source = Weights(spec, build(architecture, labels=5, seed=11).state_dict())
    wanted = Recipe.model_validate({"epochs": EPOCHS, "batch_size": 8, **recipe})
    return LoadedTask(images, source, wanted)


def work_of(rates: StageRates, identifier: str = "0" * 36) -> TrialWork:
    return TrialWork(id=identifier, number=1, baseline=False, rates=rates, seconds_limit=None)


def run(finetune: Finetune) -> tuple[list[tuple[float, ...]], dict[str, Tensor]]:
    return [numbers(metrics) for metrics in finetune.epochs()], finetune.weights()


def numbers(metrics: EpochMetrics) -> tuple[float, ...]:
    return metrics.epoch, metrics.train_loss, metrics.val_loss, metrics.val_top1


def after_each_epoch(finetune: Finetune, work: TrialWork) -> Iterator[bytes]:
    """Checkpoints."""
    curve: list[EpochMetrics] = []
    for metrics in finetune.epochs():
        curve.append(metrics)
        yield to_bytes(work, Progress(curve, 1.5 * len(curve), finetune.state()))


@pytest.mark.parametrize(("rates", "norm", "schedule", "views"), WAYS)
def test_a_finetune_that_is_resumed_after_any_epoch_ends_as_if_undisturbed(
    three_animals: Images, rates: str, norm: str, schedule: str, views: Views | None
) -> None:
    augmentation = views or NoAugmentation()

    def fresh() -> Finetune:
        loaded = task(three_animals, norm, schedule=schedule, augmentation=augmentation)
        return Finetune(loaded, RATES[rates])

    work = work_of(RATES[rates])
    undisturbed = fresh()
    checkpoints = list(after_each_epoch(undisturbed, work))
    weights = undisturbed.weights()
    curve = from_bytes(checkpoints[-1], work).curve
    assert len(curve) == EPOCHS
    for epochs, checkpoint in enumerate(checkpoints, start=1):
        progress = from_bytes(checkpoint, work)
        assert progress.curve == curve[:epochs]
        assert progress.seconds == 1.5 * epochs
        heir = fresh()
        heir.resume(progress.training)
        rest, again = run(heir)
        assert rest == [numbers(metrics) for metrics in curve[epochs:]]
        assert all(torch.equal(tensor, again[name]) for name, tensor in weights.items())


def test_without_momentum_there_is_none_to_resume(three_animals: Images) -> None:
    loaded, work = task(three_animals, momentum=0.0), work_of(RATES["uniform"])
    undisturbed = Finetune(loaded, work.rates)
    first, *_ = after_each_epoch(undisturbed, work)
    heir = Finetune(loaded, work.rates)
    heir.resume(from_bytes(first, work).training)
    _, again = run(heir)
    assert all(torch.equal(t, again[n]) for n, t in undisturbed.weights().items())


def test_a_checkpoint_is_a_copy(three_animals: Images) -> None:
    finetune = Finetune(task(three_animals), RATES["uniform"])
    epochs = finetune.epochs()
    next(epochs)
    state = finetune.state()
    before = {name: tensor.clone() for name, tensor in (state.tensors | state.momentum).items()}
    next(epochs)
    assert finetune.state().epochs == 2
    after = state.tensors | state.momentum
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_what_is_frozen_is_not_stored(three_animals: Images) -> None:
    work = work_of(RATES["gap"])
    checkpoint = next(after_each_epoch(Finetune(task(three_animals), work.rates), work))
    state = from_bytes(checkpoint, work).training
    stages = {name.partition(".")[0] for name in state.tensors | state.momentum}
    assert stages == {"conv1", "conv3", "head"}
    assert any("running_mean" in name for name in state.tensors)
    alone = work_of(RATES["head only"])
    head = next(after_each_epoch(Finetune(task(three_animals), alone.rates), alone))
    assert len(head) < len(checkpoint) / 2


def test_a_batch_that_had_to_be_cut_is_cut_by_the_heir_too(three_animals: Images) -> None:
    loaded, rates = task(three_animals, "none"), RATES["uniform"]
    cut = Finetune(loaded, rates, micro_batch=3)
    next(cut.epochs())
    heir = Finetune(loaded, rates)
    heir.resume(cut.state())
    assert heir.micro_batch == 3


def test_a_resumed_finetune_that_diverges_counts_its_steps_on(three_animals: Images) -> None:
    loaded, rates = task(three_animals, "none"), RATES["uniform"]
    first = Finetune(loaded, rates)
    next(first.epochs())
    state = first.state()
    assert state.steps == -(-loaded.size("train") // 8)
    state.tensors["head.bias"].fill_(torch.inf)
    heir = Finetune(loaded, rates)
    heir.resume(state)
    with pytest.raises(DivergedError, match="in epoch 2, at step") as caught:
        run(heir)
    assert caught.value.step == state.steps + 1


def renamed(state: TrainingState) -> None:
    state.tensors["conv9.weight"] = state.tensors.pop("head.weight")


def reshaped(state: TrainingState) -> None:
    state.tensors["head.weight"] = state.tensors["head.weight"].T


def retyped(state: TrainingState) -> None:
    state.momentum["head.weight"] = state.momentum["head.weight"].double()


def with_frozen_momentum(state: TrainingState) -> None:
    state.momentum["conv2.0.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (renamed, "missing: head.weight; unexpected: conv9.weight"),
        (reshaped, "of another shape or type: head.weight"),
        (retyped, "of another shape or type: head.weight"),
        (with_frozen_momentum, "unexpected: conv2.0.weight"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(
    three_animals: Images, spoil: Callable[[TrainingState], None], message: str
) -> None:
    loaded, rates = task(three_animals), RATES["gap"]
    expected = run(Finetune(loaded, rates))
    first = Finetune(loaded, rates)
    next(first.epochs())
    state = first.state()
    spoil(state)
    heir = Finetune(loaded, rates)
    with pytest.raises(CheckpointError, match=message):
        heir.resume(state)
    curve, weights = run(heir)
    assert curve == expected[0]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in expected[1].items())


@pytest.fixture(scope="module")
def checkpoint(three_animals: Images) -> bytes:
    """After one epoch, of the rates `head only`."""
    work = work_of(RATES["head only"])
    return next(after_each_epoch(Finetune(task(three_animals), work.rates), work))


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (work_of(RATES["head only"], "1" * 36), "of trial 000.* instead of 111"),
        (work_of(RATES["uniform"]), r"of the rates .*'conv1': 0.0.* instead of .*'conv1': 0.01"),
    ],
)
def test_a_checkpoint_of_another_trial_or_of_other_rates_is_refused(
    checkpoint: bytes, work: TrialWork, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        from_bytes(checkpoint, work)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"\0" * 100,
        lambda data: data[:-1],
        lambda data: data[:200],
        lambda data: data.replace(b"lrsearch_checkpoint", b"lrsearch_weightsfil"),
        lambda data: data.replace(b'\\"epoch\\":1', b'\\"epoch\\":2'),
        lambda data: data.replace(b'\\"steps\\":', b'\\"stops\\":'),
    ],
)
def test_what_is_no_whole_checkpoint_is_refused(
    checkpoint: bytes, spoil: Callable[[bytes], bytes]
) -> None:
    work = work_of(RATES["head only"])
    assert from_bytes(checkpoint, work).training.epochs == 1
    assert spoil(checkpoint) != checkpoint
    with pytest.raises(CheckpointError, match="checkpoint"):
        from_bytes(spoil(checkpoint), work)
