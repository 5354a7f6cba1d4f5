"""Networks as they are written on the command line: `resnet27`, `timm:NAME`, `torchvision:NAME`."""

from lrsearch.contract.sources import Architecture, ResNet27, Timm, Torchvision


def architecture_of(name: str) -> Architecture | None:
    """The architecture that `name` means; `None` where it has not the form of one.

    Raises:
        ValueError: The part after the colon cannot be a network's name.
    """
    library, _, model = name.partition(":")
    if library == "torchvision" and model:
        return Torchvision(model=model)
    if library == "timm" and model:
        return Timm(model=model)
    return ResNet27() if name == "resnet27" else None


def describe(architecture: Architecture) -> str:
    """An architecture's name, and what else tells it from others."""
    if isinstance(architecture, ResNet27):
        return f"resnet27, width {architecture.width:g}, norm {architecture.norm}"
    return architecture.name
