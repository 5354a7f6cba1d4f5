"""The finetune engine on networks of torchvision and timm, on real images."""

from collections.abc import Iterator

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor

from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe, Views
from lrsearch.contract.sources import Architecture, SourceSpec, Timm, Torchvision
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker import weights
from lrsearch_worker.data.images import Images
from lrsearch_worker.engine.finetune import Finetune
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.staged import NetworkError
from lrsearch_worker.weights import Weights, WeightsError
from tests.worker.test_lockstep import assert_the_same, together

RESNET = Torchvision(model="resnet18")
EFFICIENTNET = Timm(model="tf_efficientnet_lite0")
NO_CHAIN = Timm(model="xcit_nano_12_p16_224")

RECIPE = Recipe(epochs=2, batch_size=8, augmentation=Views(views=2))
GRADUATED = StageRates(conv1=0.0, conv2=0.004, conv3=0.008, conv4=0.016, conv5=0.032, head=0.064)
DEEPLY_FROZEN = StageRates(conv1=0.0, conv2=0.0, conv3=0.0, conv4=0.0, conv5=0.01, head=0.1)
ONLY_HEAD = StageRates.of(0.0, 0.01)

Run = tuple[list[tuple[float, ...]], dict[str, Tensor]]


def task(images: Images, architecture: Architecture, store_bytes: int = 2**29) -> LoadedTask:
    spec = SourceSpec(architecture=architecture, input_size=32)
    source = Weights(spec, build(architecture, labels=5, seed=11).state_dict())
    return LoadedTask(images, source, RECIPE, store_bytes=store_bytes)


def numbers(metrics: Iterator[EpochMetrics]) -> list[tuple[float, ...]]:
    return [(m.epoch, m.train_loss, m.val_loss, m.val_top1) for m in metrics]


def run(finetune: Finetune) -> Run:
    return numbers(finetune.epochs()), finetune.weights()


@pytest.mark.parametrize("rates", [GRADUATED, ONLY_HEAD])
@pytest.mark.parametrize("architecture", [RESNET, EFFICIENTNET, NO_CHAIN])
def test_stored_activations_change_nothing(
    three_animals_at_32: Images, architecture: Architecture, rates: StageRates
) -> None:
    stored, stored_weights = run(Finetune(task(three_animals_at_32, architecture), rates))
    nothing_stored = task(three_animals_at_32, architecture, store_bytes=0)
    computed, computed_weights = run(Finetune(nothing_stored, rates))
    for a, b in zip(stored, computed, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    torch.testing.assert_close(stored_weights, computed_weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("architecture", [RESNET, EFFICIENTNET, NO_CHAIN])
def test_a_trial_is_bitwise_the_same_with_companions_as_alone(
    three_animals_at_32: Images, architecture: Architecture
) -> None:
    trials = [GRADUATED, DEEPLY_FROZEN, ONLY_HEAD]
    alone = [together(task(three_animals_at_32, architecture), [rates])[0] for rates in trials]
    assert_the_same(together(task(three_animals_at_32, architecture), trials), alone)


@pytest.mark.parametrize("architecture", [EFFICIENTNET, NO_CHAIN])
def test_a_finetune_that_is_resumed_ends_as_if_undisturbed(
    three_animals_at_32: Images, architecture: Architecture
) -> None:
    undisturbed = Finetune(task(three_animals_at_32, architecture), GRADUATED)
    epochs = undisturbed.epochs()
    next(epochs)
    heir = Finetune(task(three_animals_at_32, architecture), GRADUATED)
    heir.resume(undisturbed.state())
    rest, resumed = run(heir)
    assert rest == numbers(epochs)
    assert all(torch.equal(t, resumed[n]) for n, t in undisturbed.weights().items())


@pytest.mark.parametrize("architecture", [RESNET, NO_CHAIN])
def test_trials_share_the_tensors_of_frozen_stages_and_no_others(
    three_animals_at_32: Images, architecture: Architecture
) -> None:
    shared = task(three_animals_at_32, architecture)
    one, other = (dict(shared.network(2).named_parameters()) for _ in range(2))
    network = shared.network()
    for name, parameter in one.items():
        assert (parameter is other[name]) == (network.stage_of(name) in ("conv1", "conv2"))


@pytest.mark.parametrize("architecture", [RESNET, EFFICIENTNET, NO_CHAIN])
def test_a_trial_trains_what_has_a_rate_and_nothing_else(
    three_animals_at_32: Images, architecture: Architecture
) -> None:
    shared = task(three_animals_at_32, architecture)
    network = shared.network()
    before = network.state_dict()
    _, after = run(Finetune(shared, GRADUATED))
    changed = {network.stage_of(n) for n, t in after.items() if not t.equal(before[n])}
    kept = {network.stage_of(n) for n, t in after.items() if t.equal(before[n])}
    assert changed == {stage for stage, rate in GRADUATED.items() if rate > 0.0}
    assert "conv1" in kept


def test_a_winner_is_loaded_by_its_library_and_gives_the_same_answers(
    three_animals_at_32: Images,
) -> None:
    finetune = Finetune(task(three_animals_at_32, EFFICIENTNET), GRADUATED)
    numbers(finetune.epochs())
    winner = finetune.result()
    own = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    own.load_state_dict(safetensors.torch.load(winner), strict=True)
    loaded = weights.from_bytes(winner)
    assert loaded.spec.labels == three_animals_at_32.label_names
    again = weights.complete_network(loaded).eval()
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(again(images), own.eval()(images), rtol=1e-6, atol=1e-6)
    in_its_turn = LoadedTask(three_animals_at_32, loaded, RECIPE).network().state_dict()
    assert torch.equal(in_its_turn["conv_stem.weight"], loaded.tensors["conv_stem.weight"])


def test_weights_of_another_network_are_refused_by_name() -> None:
    tensors = torchvision.models.resnet34(num_classes=5).state_dict()
    spec = SourceSpec(architecture=RESNET, input_size=32)
    with pytest.raises(WeightsError, match=r"unexpected: layer1\.2\.bn1\.bias"):
        weights.complete_network(Weights(spec, tensors))
    with pytest.raises(WeightsError, match="model is 'resnet19'"):
        weights.complete_network(
            Weights(SourceSpec(architecture=Timm(model="resnet19"), input_size=32), tensors)
        )


def test_a_size_that_the_network_cannot_take_is_refused_when_the_task_is_loaded(
    three_animals_at_32: Images,
) -> None:
    spec = SourceSpec(architecture=Timm(model="vit_tiny_patch16_224"), input_size=32)
    with pytest.raises(NetworkError, match="cannot take images of 32 × 32 pixels"):
        LoadedTask(three_animals_at_32, spec, RECIPE)
