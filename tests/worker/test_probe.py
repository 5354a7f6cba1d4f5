"""The probe, on real images."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lrsearch
from lrsearch.contract.probes import Probe
from lrsearch.contract.rates import STAGES, StageRates
from lrsearch.contract.recipes import NoAugmentation, Recipe, Views
from lrsearch.contract.sources import Architecture, ResNet27, SourceSpec, Timm, Torchvision
from lrsearch_worker import weights
from lrsearch_worker.data.images import Images, ImageStore
from lrsearch_worker.engine.finetune import Finetune
from lrsearch_worker.engine.probe import probe
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.networks.build import build
from lrsearch_worker.weights import Weights
from tests.worker.conftest import SILHOUETTES

GENERAL = Path(lrsearch.__file__).parent / "sources" / "general.safetensors"
BASELINE = StageRates.of(0.0, 0.01)
RECIPE = Recipe(epochs=3, batch_size=8)


def source(architecture: Architecture | None = None, input_size: int = 16) -> Weights:
    architecture = architecture or ResNet27(width=0.0625)
    spec = SourceSpec(architecture=architecture, input_size=input_size)
    return Weights(spec, build(architecture, labels=5, seed=11).state_dict())


def task(
    images: Images, recipe: Recipe = RECIPE, images_per_label: int | None = None
) -> LoadedTask:
    return LoadedTask(images, source(), recipe, images_per_label)


def figures(probe: Probe) -> dict[str, object]:
    """All but the clock's."""
    return probe.model_dump(exclude={"seconds"})


def without(images: Images, label: int, left: int) -> Images:
    """With only some images of a label."""
    of_label = np.flatnonzero(images.labels == label)
    kept = np.setdiff1d(np.arange(len(images.labels)), of_label[left:])
    return replace(
        images,
        pixels=images.pixels[kept],
        labels=images.labels[kept],
        names=[images.names[i] for i in kept],
        hashes=[images.hashes[i] for i in kept],
    )


@pytest.fixture(scope="module")
def on_general(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Ten animals, 20 images each, seen by a source model that ships."""
    store = ImageStore(tmp_path_factory.mktemp("store"))
    images = store.images(SILHOUETTES, fingerprint="0" * 64, side=32)
    return probe(LoadedTask(images, weights.load(GENERAL), Recipe(), 20))


def test_a_source_that_knows_pictures_tells_animals_apart(on_general: Probe) -> None:
    assert on_general.chance == pytest.approx(0.1)
    assert on_general.linear_top1 is not None
    assert on_general.knn_top1 is not None
    assert on_general.linear_top1 > 0.5
    assert on_general.knn_top1 > 0.4


def test_every_stage_has_weights_and_a_gradient(on_general: Probe) -> None:
    network = build(weights.load(GENERAL).spec.architecture, labels=10, seed=0)
    for stage in STAGES:
        ratio = getattr(on_general.gradient_ratios, stage)
        assert ratio is not None
        assert 0.0 < ratio < math.inf
        parameters = network.stage(stage).parameters()
        assert getattr(on_general.parameters, stage) == sum(p.numel() for p in parameters)


def test_the_head_learns(on_general: Probe) -> None:
    assert len(on_general.head_losses) == 20
    assert on_general.head_losses[-1] < 0.5 * on_general.head_losses[0]


def test_the_training_split_is_described(three_animals: Images) -> None:
    found = probe(task(without(three_animals, label=1, left=10)))
    sizes = [13, 6, 13]  # 64 % of 20 and of 10
    assert (found.images, found.images_used, found.labels, found.input_size) == (32, 32, 3, 16)
    spread = found.images_per_label
    assert (spread.min, spread.median, spread.max) == (6, 13, 13)
    assert found.chance == pytest.approx(13 / 32)
    entropy = -sum(n / 32 * math.log(n / 32) for n in sizes)
    assert found.label_entropy == pytest.approx(entropy / math.log(3))
    assert found.architecture == "resnet27"


def test_labels_of_the_same_size_have_the_full_entropy(three_animals: Images) -> None:
    assert probe(task(three_animals)).label_entropy == pytest.approx(1.0)
    first = without(without(three_animals, 1, 0), 2, 0)
    alone = probe(task(replace(first, label_names=first.label_names[:1])))
    assert (alone.labels, alone.label_entropy, alone.chance) == (1, 1.0, 1.0)


@pytest.mark.parametrize("epochs", [3, 24])
def test_the_head_is_trained_as_the_baseline_trains_it(three_animals: Images, epochs: int) -> None:
    shared = task(three_animals, Recipe(epochs=epochs, batch_size=8))
    losses = probe(shared).head_losses
    baseline = [metrics.train_loss for metrics in Finetune(shared, BASELINE).epochs()]
    assert len(losses) == min(epochs, 20)
    assert losses == pytest.approx(baseline[:20], rel=1e-5)


def test_the_gradient_is_that_of_the_baselines_mean_training_loss(three_animals: Images) -> None:
    shared = task(three_animals)
    ratios = probe(shared).gradient_ratios
    baseline = Finetune(shared, BASELINE)
    list(baseline.epochs())
    network = shared.network().eval()
    network.load_state_dict(baseline.weights())
    images = torch.from_numpy(three_animals.pixels[shared.indices.train]).permute(0, 3, 1, 2)
    labels = torch.from_numpy(three_animals.labels[shared.indices.train])
    torch.autograd.backward(F.cross_entropy(network((images / 255.0 - 0.5) / 0.5), labels))
    for stage in STAGES:
        parameters = list(network.stage(stage).parameters())
        gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
        of_weights = torch.cat([p.detach().flatten() for p in parameters])
        expected = float(gradient.norm() / of_weights.norm())
        assert getattr(ratios, stage) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("augmentation", [NoAugmentation(), Views(views=2)])
def test_validation_and_test_images_are_never_looked_at(
    three_animals: Images, augmentation: NoAugmentation | Views
) -> None:
    recipe = Recipe(epochs=3, batch_size=8, augmentation=augmentation)
    shared = task(three_animals, recipe)
    pixels = np.array(three_animals.pixels)
    unseen = np.concatenate([shared.indices.validation, shared.indices.test])
    pixels[unseen] = pixels[np.roll(unseen, 1)] // 2
    permuted = replace(three_animals, pixels=pixels)
    assert figures(probe(task(permuted, recipe))) == figures(probe(shared))
    pixels[shared.indices.train] = pixels[np.roll(shared.indices.train, 1)]
    assert figures(probe(task(permuted, recipe))) != figures(probe(shared))


def test_the_same_task_gives_the_same_probe_and_another_seed_another(
    three_animals: Images,
) -> None:
    shared = task(three_animals)
    found = figures(probe(shared))
    assert figures(probe(shared)) == found
    assert figures(probe(task(three_animals))) == found
    assert figures(probe(task(three_animals, RECIPE.model_copy(update={"seed": 1})))) != found


def test_a_probe_changes_nothing(three_animals: Images) -> None:
    shared, undisturbed = task(three_animals), task(three_animals)
    probe(shared)
    rates = StageRates.of(0.01, 0.01)
    curves = [
        [(m.train_loss, m.val_loss, m.val_top1) for m in Finetune(each, rates).epochs()]
        for each in (shared, undisturbed)
    ]
    assert curves[0] == curves[1]


def test_one_image_a_label_leaves_no_accuracy_but_all_else(three_animals: Images) -> None:
    found = probe(task(three_animals, images_per_label=1))
    assert (found.knn_top1, found.linear_top1) == (None, None)
    assert found.images == 3
    assert len(found.head_losses) == 3
    assert found.gradient_ratios.conv1 is not None


def test_of_many_images_a_sample_is_taken_that_has_each_label(
    three_animals: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrsearch_worker.engine.probe.SAMPLE", 12)
    scarce = without(three_animals, label=1, left=4)
    found = probe(task(scarce))
    assert (found.images, found.images_used) == (28, 12)
    assert found.images_per_label.min == 2
    assert found.linear_top1 is not None  # so there are two of the scarce label
    assert found.chance == pytest.approx(13 / 28)
    assert figures(probe(task(scarce))) == figures(found)


@pytest.mark.parametrize(
    "architecture",
    [
        Torchvision(model="resnet18"),
        Timm(model="tf_efficientnet_lite0"),
        Timm(model="xcit_nano_12_p16_224"),  # several tensors pass between its stages
    ],
)
def test_networks_of_libraries_are_probed_too(
    three_animals_at_32: Images, architecture: Architecture
) -> None:
    shared = LoadedTask(three_animals_at_32, source(architecture, 32), RECIPE)
    found = probe(shared)
    assert found.architecture == architecture.name
    assert found.linear_top1 is not None
    assert all(getattr(found.gradient_ratios, stage) for stage in STAGES)
    baseline = [metrics.train_loss for metrics in Finetune(shared, BASELINE).epochs()]
    assert found.head_losses == pytest.approx(baseline, rel=1e-4)


def scaled(factor: float) -> Weights:
    """A source without normalisation whose first kernels are too large."""
    given = source(ResNet27(width=0.0625, norm="none"))
    name = "conv1.0.conv.weight"
    return Weights(given.spec, given.tensors | {name: given.tensors[name] * factor})


def test_a_head_that_diverges_leaves_the_losses_before(three_animals: Images) -> None:
    found = probe(LoadedTask(three_animals, scaled(1e19), Recipe(epochs=20, batch_size=8)))
    assert len(found.head_losses) < 20
    assert all(math.isfinite(loss) for loss in found.head_losses)
    assert found.linear_top1 is not None


def test_features_that_are_not_finite_are_an_error(three_animals: Images) -> None:
    with pytest.raises(ValueError, match="features of the training images are not all finite"):
        probe(LoadedTask(three_animals, scaled(1e38), RECIPE))
