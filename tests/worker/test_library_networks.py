"""torchvision's and timm's classifiers as networks of five stages and a head."""

import copy
import sys
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from lrsearch.contract.rates import INNER_STAGES, STAGES, StageRates
from lrsearch.contract.sources import Architecture, Timm, Torchvision
from lrsearch_worker.commands.architectures import architecture_of
from lrsearch_worker.engine.rates import freeze, parameter_groups, set_training_modes
from lrsearch_worker.networks.build import build
from lrsearch_worker.networks.library import LibraryNetwork
from lrsearch_worker.networks.staged import NetworkError, StagedNetwork

SIDES = {
    "torchvision:alexnet": 64,
    "torchvision:densenet121": 64,
    "torchvision:efficientnet_b0": 64,
    "torchvision:googlenet": 64,
    "torchvision:mobilenet_v2": 64,
    "torchvision:regnet_y_400mf": 64,
    "torchvision:resnet18": 64,
    "torchvision:resnext50_32x4d": 64,
    "torchvision:shufflenet_v2_x0_5": 64,
    "torchvision:swin_t": 64,
    "torchvision:vgg11_bn": 64,
    "timm:convnext_atto": 64,
    "timm:mobilenetv3_small_050": 64,
    "timm:resnet18": 64,
    "timm:tf_efficientnet_lite0": 64,
    "timm:vit_tiny_patch16_224": 224,
    "timm:xcit_nano_12_p16_224": 64,
}
"""Networks, and pixels a side that they are tried at."""

GAPS = StageRates(conv1=0.0, conv2=0.01, conv3=0.0, conv4=0.01, conv5=0.01, head=0.01)


class Sample:
    """A network and the images that it is tried with."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.architecture = named(name)
        self.network = build(self.architecture, labels=5, seed=1).eval()
        generator = torch.Generator().manual_seed(0)
        self.images = torch.rand(2, 3, SIDES[name], SIDES[name], generator=generator)


@pytest.fixture(scope="module", params=SIDES)
def sample(request: pytest.FixtureRequest) -> Sample:
    return Sample(request.param)


def named(name: str) -> Architecture:
    architecture = architecture_of(name)
    assert architecture is not None
    return architecture


def librarys_own(architecture: Architecture) -> Any:
    """The network for 5 labels as the library itself makes it, with weights of its own."""
    if isinstance(architecture, Timm):
        return timm.create_model(architecture.model, num_classes=5)
    assert isinstance(architecture, Torchvision)
    aux: dict[str, Any] = {"googlenet": {"aux_logits": False, "init_weights": False}}
    options = aux.get(architecture.model, {})
    return torchvision.models.get_model(architecture.model, num_classes=5, **options)


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())


def stage_tensors(network: StagedNetwork, stage: Any) -> set[int]:
    return {id(tensor) for tensor in tensors(network.stage(stage)).values()}


def test_every_tensor_is_in_exactly_one_stage(sample: Sample) -> None:
    network = sample.network
    parameters = list(network.parameters())
    in_stages = [id(p) for stage in STAGES for p in network.stage(stage).parameters()]
    assert sorted(in_stages) == sorted(map(id, parameters))
    for name, tensor in tensors(network).items():
        assert id(tensor) in stage_tensors(network, network.stage_of(name))


@torch.no_grad()
def test_its_weights_fit_the_librarys_network_and_give_the_same_output(sample: Sample) -> None:
    own = librarys_own(sample.architecture).eval()
    own.load_state_dict(sample.network.state_dict(), strict=True)
    assert list(own.state_dict()) == list(sample.network.state_dict())
    torch.testing.assert_close(
        sample.network(sample.images), own(sample.images), rtol=1e-6, atol=1e-6
    )


@torch.no_grad()
def test_the_stages_one_after_another_are_the_whole_network(sample: Sample) -> None:
    network, images = sample.network, sample.images
    if sample.name == "timm:xcit_nano_12_p16_224":
        assert not network.shares_prefix
        with pytest.raises(ValueError, match="several tensors pass"):
            network.run(images, 0, 3)
        return
    assert network.shares_prefix
    whole = network(images)
    for prefix in range(1, len(STAGES)):
        halfway = network.run(images, 0, prefix)
        before = halfway.clone()
        assert torch.equal(network.run(halfway, prefix, len(STAGES)), whole)
        assert torch.equal(halfway, before)
    assert halfway.shape == (2, network.get_submodule(network.head_name).in_features)


def test_training_draws_no_random_numbers(sample: Sample) -> None:
    network = sample.network.train()
    state = torch.get_rng_state()
    first, again = network(sample.images), network(sample.images)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_stage_of_rate_0_keeps_its_tensors_and_has_no_gradients(sample: Sample) -> None:
    network = sample.network.requires_grad_(True)
    freeze(network, GAPS)
    set_training_modes(network, GAPS)
    before = {name: tensor.detach().clone() for name, tensor in tensors(network).items()}
    optimiser = torch.optim.SGD(parameter_groups(network, GAPS))
    loss = nn.functional.cross_entropy(network(sample.images), torch.tensor([0, 1]))
    torch.autograd.backward(loss)
    optimiser.step()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (GAPS[network.stage_of(name)] > 0.0), name
    changed = {network.stage_of(n) for n, t in tensors(network).items() if not t.equal(before[n])}
    assert changed == {stage for stage, rate in GAPS.items() if rate > 0.0}


PARTS = {
    "torchvision:resnet18": """
        conv1 bn1 relu maxpool
        layer1
        layer2
        layer3
        layer4 avgpool
        fc""",
    "torchvision:alexnet": """
        features.0 features.1 features.2
        features.3 features.4 features.5
        features.6 features.7
        features.8 features.9
        features.10 features.11 features.12 avgpool """
    + " ".join(f"classifier.{i}" for i in range(6))
    + """
        classifier.6""",
    "timm:convnext_atto": """
        stem stages.0
        stages.1
        stages.2.downsample stages.2.blocks.0 stages.2.blocks.1 stages.2.blocks.2
        stages.2.blocks.3 stages.2.blocks.4 stages.2.blocks.5
        stages.3 norm_pre head.global_pool head.norm head.flatten head.pre_logits head.drop
        head.fc""",
    "timm:vit_tiny_patch16_224": """
        cls_token pos_embed patch_embed pos_drop patch_drop norm_pre blocks.0 blocks.1
        blocks.2 blocks.3 blocks.4
        blocks.5 blocks.6
        blocks.7 blocks.8 blocks.9
        blocks.10 blocks.11 norm fc_norm head_drop
        head""",
}
"""What stands in each stage, a line a stage."""


@pytest.mark.parametrize("name", PARTS)
def test_a_stage_ends_where_maps_get_smaller_and_long_levels_are_divided_evenly(
    name: str,
) -> None:
    network = build(named(name), labels=3, seed=0)
    parts = [" ".join(network.parts_of(stage)) for stage in STAGES]
    assert parts == [line.strip() for line in PARTS[name].strip().splitlines()]


def test_more_than_five_levels_become_five() -> None:
    network = build(named("timm:fastvit_t8"), labels=3, seed=0).eval()
    shapes = [network.run(torch.rand(1, 3, 256, 256), 0, end).shape for end in range(1, 6)]
    assert [shape[-1] for shape in shapes[:4]] == [128, 64, 32, 16]
    assert shapes[4] == (1, 768)


def test_the_same_seed_gives_the_same_weights_and_touches_no_other_generator() -> None:
    before = torch.get_rng_state()
    architecture = named("timm:mobilenetv3_small_050")
    first, same, other = (build(architecture, 3, seed).state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[n], same[n]) for n in first)
    assert not torch.equal(first["conv_stem.weight"], other["conv_stem.weight"])
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_network_that_the_library_lacks_is_told_with_those_of_like_names() -> None:
    with pytest.raises(NetworkError, match=r"model is 'resnet19'.*timm does not.*resnet18"):
        build(Timm(model="resnet19"), labels=3, seed=0)
    with pytest.raises(NetworkError, match=r"model is 'resnet19'.*torchvision.*resnet18"):
        build(Torchvision(model="resnet19"), labels=3, seed=0)


def test_a_library_that_is_not_installed_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NetworkError, match=r"pip install 'lrsearch\[timm\]'"):
        build(Timm(model="resnet18"), labels=3, seed=0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("torchvision:squeezenet1_1", r"its last layer is 'classifier\.1', a Conv2d"),
        ("timm:levit_128s", r"several layers side by side: head, head_dist\.linear"),
        ("timm:crossvit_9_240", "cannot be traced"),
    ],
)
def test_a_network_without_five_stages_and_a_linear_head_is_refused(name: str, why: str) -> None:
    with pytest.raises(NetworkError, match=f"{name} has no stages: .*{why}"):
        build(named(name), labels=3, seed=0)


def test_a_parameter_that_no_stage_uses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def with_a_spare(*arguments: object, **options: object) -> nn.Module:
        model: nn.Module = create(*arguments, **options)
        model.spare = nn.Parameter(torch.zeros(1))
        return model

    monkeypatch.setattr(timm, "create_model", with_a_spare)
    with pytest.raises(NetworkError, match=r"uses 'spare', which then belongs to no stage"):
        build(Timm(model="test_resnet"), labels=3, seed=0)


def test_images_of_a_size_that_it_cannot_take_are_refused() -> None:
    network = build(named("timm:vit_tiny_patch16_224"), labels=3, seed=0)
    with pytest.raises(NetworkError, match=r"images of 32 × 32 pixels: .*224"):
        network.check_input(32)


def test_batch_normalisation_of_a_single_number_is_an_error_in_words() -> None:
    network = build(named("torchvision:resnet18"), labels=3, seed=0).train()
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(ValueError, match="in conv5 is to train on one image"):
        network(torch.rand(1, 3, 32, 32))
    set_training_modes(network, StageRates.of(0.0, 0.01))
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3)


def test_a_copy_and_a_new_head_leave_the_original_as_it_was() -> None:
    network = build(named("timm:vit_tiny_patch16_224"), labels=3, seed=0)
    other = copy.deepcopy(network)
    assert isinstance(other, LibraryNetwork)
    other.replace_head(7, torch.Generator().manual_seed(0))
    with torch.no_grad():
        other.get_parameter("cls_token").add_(1.0)
    assert not torch.equal(network.get_parameter("cls_token"), other.get_parameter("cls_token"))
    for stage in INNER_STAGES:
        assert not stage_tensors(network, stage) & stage_tensors(other, stage)
    assert network.get_submodule("head").out_features == 3
    assert [p.shape[0] for p in other.stage("head").parameters()] == [7, 7]
