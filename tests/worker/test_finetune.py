"""The finetune engine, on real images with a tiny network."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.recipes import NoAugmentation, Recipe, Splits, Views
from lrsearch.contract.sources import Card, ResNet27, SourceSpec
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker import weights
from lrsearch_worker.data.images import Images
from lrsearch_worker.engine.activations import ActivationStore
from lrsearch_worker.engine.finetune import DivergedError, Finetune, TooLittleMemoryError
from lrsearch_worker.engine.task import LoadedTask, input_size
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import Weights, WeightsError

RECIPE = Recipe(epochs=3, batch_size=8)
GRADUATED = StageRates(conv1=0.0, conv2=0.004, conv3=0.008, conv4=0.016, conv5=0.032, head=0.064)
ONLY_HEAD = StageRates.of(0.0, 0.01)
UNIFORM = StageRates.of(0.01, 0.01)


def source(norm: str = "batch") -> Weights:
    architecture = ResNet27.model_validate({"width": 0.0625, "norm": norm})
    spec = SourceSpec(architecture=architecture, input_size=16)
    return Weights(spec, build(architecture, labels=5, seed=11).state_dict())


def task(
    images: Images, recipe: Recipe = RECIPE, norm: str = "batch", store_bytes: int = 2**29
) -> LoadedTask:
    return LoadedTask(images, source(norm), recipe, store_bytes=store_bytes)


def numbers(metrics: Iterator[EpochMetrics]) -> list[tuple[float, ...]]:
    return [(m.epoch, m.train_loss, m.val_loss, m.val_top1) for m in metrics]


def run(finetune: Finetune) -> tuple[list[tuple[float, ...]], dict[str, Tensor]]:
    return numbers(finetune.epochs()), finetune.weights()


def test_a_finetune_learns(three_animals: Images) -> None:
    recipe = Recipe(epochs=12, batch_size=8, schedule="cosine")
    curve = list(Finetune(task(three_animals, recipe), UNIFORM).epochs())
    assert [m.epoch for m in curve] == list(range(1, 13))
    assert curve[-1].train_loss < 0.7 * curve[0].train_loss
    assert all(m.seconds > 0.0 for m in curve)


@pytest.mark.parametrize("rates", [GRADUATED, ONLY_HEAD, UNIFORM])
def test_the_same_trial_gives_the_same_numbers(three_animals: Images, rates: StageRates) -> None:
    shared = task(three_animals)
    first, first_weights = run(Finetune(shared, rates))
    numbers(Finetune(shared, UNIFORM).epochs())
    again, again_weights = run(Finetune(shared, rates))
    fresh, fresh_weights = run(Finetune(task(three_animals), rates))
    assert first == again == fresh
    assert all(torch.equal(t, again_weights[n]) for n, t in first_weights.items())
    assert all(torch.equal(t, fresh_weights[n]) for n, t in first_weights.items())


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Views(views=2)])
@pytest.mark.parametrize("rates", [GRADUATED, ONLY_HEAD, UNIFORM])
def test_stored_activations_change_nothing(
    three_animals: Images, rates: StageRates, augmentation: NoAugmentation | Views
) -> None:
    recipe = Recipe(epochs=3, batch_size=8, augmentation=augmentation)
    stored, stored_weights = run(Finetune(task(three_animals, recipe), rates))
    computed, computed_weights = run(Finetune(task(three_animals, recipe, store_bytes=0), rates))
    for a, b in zip(stored, computed, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    torch.testing.assert_close(stored_weights, computed_weights, rtol=1e-4, atol=1e-6)


def test_frozen_stages_run_once_for_each_image_and_view(
    three_animals: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_run: list[int] = []
    compute = ActivationStore.compute

    def counting(self: ActivationStore, prefix: int, of: object, positions: Tensor) -> Tensor:
        images_run.append(len(positions))
        return compute(self, prefix, of, positions)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(ActivationStore, "compute", counting)
    shared = task(three_animals, Recipe(epochs=5, batch_size=8, augmentation=Views(views=2)))
    for head in (0.01, 0.1):
        numbers(Finetune(shared, StageRates.of(0.0, head)).epochs())
    one_to_measure = 1
    wanted = 2 * shared.size("train") + shared.size("validation") + one_to_measure
    assert sum(images_run) == wanted


def test_a_frozen_stage_keeps_its_weights_and_its_batchnorm_statistics(
    three_animals: Images,
) -> None:
    gap = StageRates(conv1=0.01, conv2=0.0, conv3=0.01, conv4=0.0, conv5=0.0, head=0.01)
    shared = task(three_animals)
    before = source().tensors
    _, after = run(Finetune(shared, gap))
    network = shared.network()
    for name, tensor in after.items():
        stage = network.stage_of(name)
        if stage != "head":
            assert torch.equal(tensor, before[name]) == (gap[stage] == 0.0)


def test_trials_do_not_change_the_source(three_animals: Images) -> None:
    shared = task(three_animals)
    run(Finetune(shared, UNIFORM))
    state = shared.network().state_dict()
    assert all(torch.equal(state[n], t) for n, t in source().tensors.items() if "head" not in n)


def test_the_first_step_is_sgd_with_each_stages_own_rate(three_animals: Images) -> None:
    recipe = Recipe(epochs=1, batch_size=4096, momentum=0.0, weight_decay=0.01)
    shared = task(three_animals, recipe)
    _, after = run(Finetune(shared, GRADUATED))
    network = shared.network()
    for stage in STAGES:
        network.stage(stage).train(stage != "conv1")
    ((inputs, labels),) = shared.training_batches(0, 0)
    torch.autograd.backward(nn.functional.cross_entropy(network(inputs), labels))
    for name, parameter in network.named_parameters():
        rate = GRADUATED[network.stage_of(name)]
        assert parameter.grad is not None
        expected = parameter - rate * (parameter.grad + 0.01 * parameter)
        torch.testing.assert_close(after[name], expected.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rates", [UNIFORM, GRADUATED])
def test_accumulated_gradients_give_the_step_of_the_whole_batch(
    three_animals: Images, rates: StageRates
) -> None:
    shared = task(three_animals, norm="none")
    whole, whole_weights = run(Finetune(shared, rates))
    parts, parts_weights = run(Finetune(shared, rates, micro_batch=3))
    for a, b in zip(whole, parts, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
    torch.testing.assert_close(whole_weights, parts_weights, rtol=1e-4, atol=1e-6)


def test_batches_may_be_cut_where_all_normalisation_is_frozen(three_animals: Images) -> None:
    shared = task(three_animals)
    _, whole = run(Finetune(shared, ONLY_HEAD))
    _, parts = run(Finetune(shared, ONLY_HEAD, micro_batch=3))
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="batch normalisation trains in this network"):
        Finetune(shared, UNIFORM, micro_batch=3)
    with pytest.raises(ValueError, match="micro_batch is 0"):
        Finetune(shared, ONLY_HEAD, micro_batch=0)


class _SmallDevice:
    """Makes the last layer fail for more than so many images, as a full device would."""

    def __init__(self, finetune: Finetune, images: int) -> None:
        def limit(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if module.training and len(inputs[0]) > images:
                raise torch.OutOfMemoryError("out of memory")

        network = finetune._network  # what the engine calls is what must fail
        network.head.register_forward_pre_hook(limit)


def test_where_memory_does_not_suffice_batches_are_halved(three_animals: Images) -> None:
    shared = task(three_animals, norm="none")
    _, expected = run(Finetune(shared, UNIFORM))
    finetune = Finetune(shared, UNIFORM)
    _SmallDevice(finetune, images=3)
    _, weights_ = run(finetune)
    assert finetune.micro_batch == 2
    torch.testing.assert_close(weights_, expected, rtol=1e-4, atol=1e-6)


def test_where_normalisation_trains_too_little_memory_is_an_error(three_animals: Images) -> None:
    finetune = Finetune(task(three_animals), UNIFORM)
    _SmallDevice(finetune, images=3)
    with pytest.raises(TooLittleMemoryError, match=r"may not be cut; lower batch_size \(8\)"):
        run(finetune)


def test_not_even_one_image_fitting_is_an_error(three_animals: Images) -> None:
    finetune = Finetune(task(three_animals, norm="none"), UNIFORM)
    _SmallDevice(finetune, images=0)
    with pytest.raises(TooLittleMemoryError, match="not even one image fits"):
        run(finetune)


def test_another_error_is_not_taken_for_too_little_memory(three_animals: Images) -> None:
    finetune = Finetune(task(three_animals), UNIFORM)

    def fail(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise RuntimeError("a defect")

    finetune._network.head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="a defect"):
        run(finetune)


def test_a_loss_that_is_not_finite_says_at_which_step(three_animals: Images) -> None:
    with pytest.raises(DivergedError, match="in epoch 1, at step") as caught:
        run(Finetune(task(three_animals, norm="none"), StageRates.of(1000.0, 1000.0)))
    assert caught.value.epoch == 1
    assert 2 <= caught.value.step <= 5


def test_a_validation_loss_that_is_not_finite_is_divergence_too(three_animals: Images) -> None:
    recipe = Recipe(epochs=2, batch_size=4096)
    with pytest.raises(DivergedError, match="the validation loss was") as caught:
        run(Finetune(task(three_animals, recipe, norm="none"), StageRates.of(1000.0, 1000.0)))
    one_step_an_epoch = caught.value.epoch
    assert caught.value.step == one_step_an_epoch


def test_a_caller_may_stop_after_any_epoch(three_animals: Images) -> None:
    shared = task(three_animals)
    whole = numbers(Finetune(shared, UNIFORM).epochs())
    stopped = Finetune(shared, UNIFORM)
    first = next(stopped.epochs())
    assert (first.epoch, first.train_loss, first.val_loss, first.val_top1) == whole[0]


def test_the_result_scores_in_the_test_as_the_network_did(three_animals: Images) -> None:
    shared = task(three_animals)
    finetune = Finetune(shared, UNIFORM)
    last = list(finetune.epochs())[-1]
    loaded = weights.from_bytes(finetune.result(Card(description="three animals")))
    assert loaded.spec.labels == three_animals.label_names
    assert loaded.spec.card.description == "three animals"
    validation = shared.evaluate(loaded, "validation")
    assert validation.top1 == last.val_top1
    assert validation.loss == pytest.approx(last.val_loss, rel=1e-6)
    test = shared.evaluate(loaded, "test")
    assert len(test.correct) == shared.size("test") == 12
    assert test.top1 == test.correct.mean()


def test_a_winner_can_be_a_source(three_animals: Images) -> None:
    winner = Finetune(task(three_animals), UNIFORM).result()
    again = LoadedTask(three_animals, weights.from_bytes(winner), RECIPE)
    assert again.network().head.out_features == 3


def test_weights_of_another_task_are_not_evaluated(three_animals: Images) -> None:
    shared = task(three_animals)
    with pytest.raises(WeightsError, match="the weights are for labels None; the task has"):
        shared.evaluate(source(), "test")


def test_trials_of_a_job_start_from_the_same_head_and_another_seed_gives_another(
    three_animals: Images,
) -> None:
    shared = task(three_animals)
    assert torch.equal(shared.network().head.weight, shared.network().head.weight)
    other = task(three_animals, Recipe(epochs=3, batch_size=8, seed=1))
    assert not torch.equal(shared.network().head.weight, other.network().head.weight)


def test_a_source_may_be_random_initialisation(three_animals: Images) -> None:
    shared = LoadedTask(three_animals, source().spec, RECIPE)
    assert len(numbers(Finetune(shared, UNIFORM).epochs())) == 3


def test_images_of_another_size_are_refused(three_animals: Images) -> None:
    recipe = Recipe(input_size=32)
    assert input_size(recipe, source().spec) == 32
    assert input_size(Recipe(), source().spec) == 16
    with pytest.raises(ValueError, match="16 pixels a side instead of 32"):
        task(three_animals, recipe)


def test_an_empty_test_split_cannot_be_evaluated(three_animals: Images) -> None:
    recipe = Recipe(epochs=1, splits=Splits(validation=0.2, test=0.0))
    shared = task(three_animals, recipe)
    assert shared.size("test") == 0
    winner = weights.from_bytes(Finetune(shared, ONLY_HEAD).result())
    with pytest.raises(ValueError, match="the split has no images"):
        shared.evaluate(winner, "test")
