"""Stage rates on a network, schedules, batches and metrics."""

import math

import pytest
import torch
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.sources import ResNet27
from lrsearch_worker.data.batches import batches, inference_batch
from lrsearch_worker.engine.metrics import evaluate
from lrsearch_worker.engine.rates import freeze, parameter_groups, set_training_modes
from lrsearch_worker.engine.schedule import factor
from lrsearch_worker.networks.build import build

TINY = ResNet27(width=0.0625, norm="batch")
GAP = StageRates(conv1=0.0, conv2=0.001, conv3=0.0, conv4=0.004, conv5=0.008, head=0.016)


def test_every_parameter_is_in_the_group_of_its_stage_or_frozen() -> None:
    network = build(TINY, labels=3, seed=0)
    freeze(network, GAP)
    groups = parameter_groups(network, GAP)
    assert {g["stage"]: g["lr"] for g in groups} == {s: r for s, r in GAP.items() if r > 0.0}
    stage_of_group = {id(p): g["stage"] for g in groups for p in g["params"]}
    assert len(stage_of_group) == sum(len(g["params"]) for g in groups)
    for name, parameter in network.named_parameters():
        stage = network.stage_of(name)
        assert stage_of_group.get(id(parameter)) == (stage if GAP[stage] else None)
        assert parameter.requires_grad == (GAP[stage] > 0.0)


def test_a_stage_of_rate_zero_is_in_evaluation_mode_while_the_rest_trains() -> None:
    network = build(TINY, labels=3, seed=0)
    set_training_modes(network, GAP)
    for stage in STAGES:
        modes = {module.training for module in network.stage(stage).modules()}
        assert modes == {GAP[stage] > 0.0}


def test_a_parameter_of_no_stage_is_an_error() -> None:
    network = build(TINY, labels=3, seed=0)
    network.extra = nn.Linear(1, 1)
    with pytest.raises(ValueError, match="belongs to no stage"):
        parameter_groups(network, GAP)
    with pytest.raises(ValueError, match="belongs to no stage"):
        freeze(network, GAP)


def test_step_falls_to_a_tenth_after_each_third() -> None:
    factors = [factor("step", e, 9) for e in range(9)]
    assert factors == pytest.approx([1.0] * 3 + [0.1] * 3 + [0.01] * 3)
    assert [factor("step", e, 1) for e in range(1)] == [1.0]
    assert [factor("step", e, 4) for e in range(4)] == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_cosine_falls_from_one_towards_zero() -> None:
    factors = [factor("cosine", e, 10) for e in range(10)]
    assert factors[0] == 1.0
    assert factors[5] == pytest.approx(0.5)
    assert factors == sorted(factors, reverse=True)
    assert 0.0 < factors[-1] < 0.03


def test_an_epoch_outside_the_training_is_an_error() -> None:
    with pytest.raises(ValueError, match="epoch is 5; with 5 epochs it is 0 to 4"):
        factor("step", 5, 5)


def test_every_image_is_in_one_batch_of_each_epoch() -> None:
    cut = batches(10, 4, seed=0, epoch=0)
    assert [len(b) for b in cut] == [4, 4, 2]
    assert sorted(torch.cat(cut).tolist()) == list(range(10))


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"),
    [(9, 4, [4, 5]), (8, 4, [4, 4]), (1, 4, [1]), (3, 1, [1, 1, 1]), (3, 2, [3])],
)
def test_a_single_image_left_over_joins_the_batch_before(
    images: int, batch_size: int, sizes: list[int]
) -> None:
    assert [len(b) for b in batches(images, batch_size, seed=0, epoch=0)] == sizes


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(batches(50, 8, seed, epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


def test_large_images_are_computed_a_few_at_a_time() -> None:
    sizes = {side: inference_batch(side) for side in (16, 32, 64, 224, 512)}
    assert sizes == {16: 256, 32: 256, 64: 256, 224: 41, 512: 8}


def test_evaluation_counts_what_is_right_over_uneven_batches() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    labels = torch.tensor([0, 1, 1])

    def as_it_is(inputs: Tensor) -> Tensor:
        return inputs

    result = evaluate(as_it_is, [(logits[:2], labels[:2]), (logits[2:], labels[2:])])
    assert result.correct.tolist() == [True, True, False]
    assert result.top1 == pytest.approx(2 / 3)
    expected = [math.log1p(math.exp(-2)), math.log1p(math.exp(-1)), math.log1p(math.exp(3))]
    assert result.loss == pytest.approx(sum(expected) / 3, rel=1e-6)


def test_evaluating_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="the split has no images"):
        evaluate(lambda inputs: inputs, [])
