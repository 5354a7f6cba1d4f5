"""Classifiers of torchvision and timm as staged networks, under their own names.

A checkpoint of such a network has the names that its library gives, so that
`timm.create_model(name, num_classes=labels).load_state_dict(...)` takes a winner as it is.

Dropout and stochastic depth are switched off: a job's trials are paired, so what one draws another
must draw, and trials that train side by side would otherwise take turns at torch's one generator.
With a few hundred images and a few epochs it is the rates that decide.
"""

import difflib
from importlib import import_module
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn

from lrsearch.contract.rates import Stage
from lrsearch.contract.sources import Channels, Timm, Torchvision
from lrsearch_worker.networks.partition import Partition, partition
from lrsearch_worker.networks.staged import NetworkError, StagedNetwork

Library = Torchvision | Timm

RANDOM_LAYERS: Final = ("dropout", "droppath", "dropblock", "stochasticdepth")
"""How the classes of layers begin that draw random numbers while training."""

_partitions: dict[Library, Partition] = {}


class Input(NamedTuple):
    """The images that a library's weights of a network are usually trained on."""

    size: int
    mean: Channels
    std: Channels


class LibraryNetwork(StagedNetwork):
    """A library's network, whose stages are parts of its graph.

    Args:
        model: Its submodules, parameters and buffers become this network's, names and all.
        divided: Its stages.
    """

    def __init__(self, model: nn.Module, divided: Partition) -> None:
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)
        for name, parameter in model.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        stored = model.state_dict()
        for name, buffer in model.named_buffers(recurse=False):
            self.register_buffer(name, buffer, persistent=name in stored)
        self._divided = divided
        self.head_name = divided.head
        self.shares_prefix = divided.is_chain
        self.check_stages()

    def through(self, name: Stage, *entering: Tensor) -> tuple[Tensor, ...]:
        """What leaves stage `name` where `entering` enters it."""
        return self._divided.parts[name].run(self, *entering)

    def stage(self, name: Stage) -> nn.Module:
        """The submodules of stage `name`, and the parameters and buffers that it reads itself."""
        part = self._divided.parts[name]
        tensors = nn.Module()
        for i, tensor_name in enumerate(part.tensors):
            owner, _, attribute = tensor_name.rpartition(".")
            tensor = getattr(self.get_submodule(owner), attribute)
            if isinstance(tensor, nn.Parameter):
                tensors.register_parameter(str(i), tensor)
            else:
                tensors.register_buffer(str(i), tensor)
        return nn.ModuleList([*map(self.get_submodule, part.modules), tensors])

    def stage_of(self, tensor_name: str) -> Stage:
        """The one stage that the parameter or buffer `tensor_name` belongs to.

        Raises:
            ValueError: No stage covers the name.
        """
        if tensor_name not in self._divided.owners:
            raise ValueError(f"'{tensor_name}' is no parameter or buffer of this network")
        return self._divided.owners[tensor_name]

    def parts_of(self, name: Stage) -> tuple[str, ...]:
        """Names of the submodules (and single tensors) that stage `name` consists of."""
        part = self._divided.parts[name]
        return part.tensors + part.modules


def library_network(architecture: Library, labels: int, seed: int) -> LibraryNetwork:
    """A network with random weights, on the CPU, in float32.

    An architecture is traced once in a process, and torch's tracer is not for several threads at
    a time: build a network before trials run side by side.

    Args:
        architecture: Its library and name.
        labels: Outputs of the head.
        seed: Of torch's own generator while the library draws the weights; the head is drawn as
            `replace_head` says.

    Raises:
        NetworkError: The library is not installed or has no such network, or it cannot be
            divided into stages.
        ValueError: `labels` is not positive.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _made(architecture).eval()
    _switch_off_draws(model)
    if architecture not in _partitions:
        try:
            _partitions[architecture] = partition(model, _side(architecture, model))
        except ValueError as error:
            raise NetworkError(f"{architecture.name} has no stages: {error}") from error
    network = LibraryNetwork(model, _partitions[architecture])
    network.replace_head(labels, torch.Generator().manual_seed(seed))
    return network


def usual_input(architecture: Library) -> Input:
    """The size and normalisation of images that the library's own weights want.

    Raises:
        NetworkError: The library is not installed or has no such network.
    """
    if isinstance(architecture, Timm):
        about = _made(architecture).default_cfg
        return Input(about["input_size"][1], tuple(about["mean"]), tuple(about["std"]))
    models = _checked(architecture)
    about = models.get_model_weights(architecture.model).DEFAULT.transforms()
    return Input(about.crop_size[0], tuple(about.mean), tuple(about.std))


def _made(architecture: Library) -> Any:
    """The library's own network, without weights of anybody's."""
    library = _checked(architecture)
    if isinstance(architecture, Timm):
        return library.create_model(architecture.model, pretrained=False, num_classes=1)
    options: dict[str, Any] = {}
    if architecture.model in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    return library.get_model(architecture.model, weights=None, num_classes=1, **options)


def _checked(architecture: Library) -> Any:
    """The library's module of networks, which has this one."""
    if isinstance(architecture, Timm):
        library = _imported("timm", "timm")
        known = library.list_models()
    else:
        library = _imported("torchvision.models", "worker")
        known = library.list_models(module=library)
    if architecture.model not in known:
        close = difflib.get_close_matches(architecture.model, known)
        raise NetworkError(
            f"model is '{architecture.model}', which {architecture.network} does not have"
            + (f"; it has {', '.join(close)}" if close else "")
        )
    return library


def _imported(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"{name} is not installed on this machine: pip install 'lrsearch[{extra}]'"
        ) from error


def _side(architecture: Library, model: Any) -> int:
    """Pixels a side of the image that is traced; maps are large enough there to tell levels."""
    side: int = model.default_cfg["input_size"][1] if isinstance(architecture, Timm) else 224
    return side


def _switch_off_draws(model: nn.Module) -> None:
    for module in model.modules():
        names = ["attn_drop_rate", "drop_rate", "drop_path_rate", "dropout", "attention_dropout"]
        if type(module).__name__.lower().startswith(RANDOM_LAYERS):
            names += ["p", "drop_prob"]
        for name in names:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
