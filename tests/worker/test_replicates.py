"""Replicates: the same task with another head, order and views, in the same splits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe, Views
from lrsearch.contract.sources import ResNet27, SourceSpec
from lrsearch_worker.data.batches import batches
from lrsearch_worker.data.images import Images
from lrsearch_worker.data.splits import split
from lrsearch_worker.data.views import draw_view
from lrsearch_worker.engine.finetune import Finetune
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import Weights, source_network

SEED = 7
RECIPE = Recipe(epochs=2, batch_size=8, augmentation=Views(views=2), seed=SEED)
SPEC = SourceSpec(architecture=ResNet27(width=0.0625), input_size=16)
RATES = StageRates(conv1=0.0, conv2=0.004, conv3=0.008, conv4=0.016, conv5=0.032, head=0.064)

Curve = list[tuple[float, float, float]]


def source() -> Weights:
    return Weights(SPEC, build(SPEC.architecture, labels=5, seed=11).state_dict())


def task(images: Images, replicate: int, recipe: Recipe = RECIPE) -> LoadedTask:
    return LoadedTask(images, source(), recipe, replicate=replicate)


def head(of_task: LoadedTask) -> Tensor:
    return of_task.network().state_dict()["head.weight"]


def order(of_task: LoadedTask) -> Tensor:
    """Labels in the order in which the first epoch brings them."""
    return torch.cat([labels for _, labels in of_task.training_batches(0, 0)])


def views(of_task: LoadedTask) -> Tensor:
    return torch.stack(of_task._view(1))


def trained(of_task: LoadedTask) -> tuple[Curve, dict[str, Tensor]]:
    finetune = Finetune(of_task, RATES)
    curve = [(m.train_loss, m.val_loss, m.val_top1) for m in finetune.epochs()]
    return curve, finetune.weights()


def test_replicate_0_draws_all_from_the_recipes_own_seed(three_animals: Images) -> None:
    first = task(three_animals, 0)
    network = source_network(source(), 3, SEED).state_dict()
    assert torch.equal(head(first), network["head.weight"])
    positions = torch.cat(batches(first.size("train"), RECIPE.batch_size, SEED, epoch=0))
    labels = torch.from_numpy(three_animals.labels[first.indices.train])
    assert torch.equal(order(first), labels[positions])
    assert isinstance(RECIPE.augmentation, Views)
    hashes = [three_animals.hashes[i] for i in first.indices.train]
    drawn = draw_view(hashes, RECIPE.augmentation, SEED, view=1)
    assert torch.equal(views(first), torch.stack(drawn))


@pytest.mark.parametrize("drawn", [head, order, views])
def test_another_replicate_or_seed_draws_something_else(
    three_animals: Images, drawn: Callable[[LoadedTask], Tensor]
) -> None:
    other_seed = RECIPE.model_copy(update={"seed": SEED + 1})
    tasks = [task(three_animals, replicate) for replicate in (0, 1, 2)]
    tasks.append(task(three_animals, 1, other_seed))
    found = [drawn(each) for each in tasks]
    for i, one in enumerate(found):
        assert not any(torch.equal(one, other) for other in found[:i])
    assert torch.equal(drawn(task(three_animals, 1)), found[1])


def test_all_replicates_have_the_same_splits(three_animals: Images) -> None:
    expected = split(three_animals.hashes, three_animals.labels, RECIPE.splits, SEED)
    for replicate in (0, 1, 2):
        indices = task(three_animals, replicate).indices
        for ours, theirs in zip(indices, expected, strict=True):
            assert (ours == theirs).all()


def test_the_source_is_the_same_in_all_replicates_but_a_random_one_is_drawn_anew(
    three_animals: Images,
) -> None:
    shipped = [task(three_animals, replicate).network().state_dict() for replicate in (0, 1)]
    inner = [name for name in shipped[0] if not name.startswith("head.")]
    assert inner
    assert all(torch.equal(shipped[0][name], shipped[1][name]) for name in inner)
    random = [
        LoadedTask(three_animals, SPEC, RECIPE, replicate=replicate).network().state_dict()
        for replicate in (0, 1)
    ]
    weights = [name for name in inner if random[0][name].ndim == 4]
    assert weights
    assert not any(torch.equal(random[0][name], random[1][name]) for name in weights)


def test_a_replicates_trial_gives_other_numbers_but_always_the_same(three_animals: Images) -> None:
    first, _ = trained(task(three_animals, 0))
    second, weights = trained(task(three_animals, 1))
    again, the_same = trained(task(three_animals, 1))
    assert first != second == again
    assert all(torch.equal(tensor, the_same[name]) for name, tensor in weights.items())
