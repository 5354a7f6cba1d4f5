"""The device that a worker computes on."""

import os
import platform
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psutil
import torch

from lrsearch.contract.workers import Device, DeviceKind
from lrsearch_worker.engine.optimiser import SGD
from lrsearch_worker.networks.resnet27 import ResNet27
from lrsearch_worker.networks.unit import Norm
from lrsearch_worker.settings import DeviceChoice


def choose_device(choice: DeviceChoice) -> torch.device:
    """The device meant by `choice`; `auto` takes CUDA if there is one, then MPS, then the CPU.

    Raises:
        ValueError: The machine has no such device.
    """
    there: list[DeviceKind] = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    if choice == "auto":
        return torch.device(there[0])
    if choice not in there:
        raise ValueError(
            f"device is '{choice}', but torch finds only {', '.join(there)} on this machine"
        )
    return torch.device(choice)


def threads_for(device: torch.device, wanted: int | None) -> int:
    """Trials that compute at a time.

    On the CPU one a core, with one of torch's threads each: a small network's steps gain less from
    more threads than from companions. A GPU's steps are queued by one thread.
    """
    if device.type != "cpu":
        return 1
    cores = psutil.cpu_count(logical=False) or 1
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else cores
    return wanted or min(cores, allowed)


def trials_for(device: torch.device, threads: int) -> int:
    """Trials that a lease should hold where the settings leave it open.

    Two for each thread keep the CPU busy when one ends early, and leave some to other workers; on
    a GPU, eight share the frozen stages' work.
    """
    return min(64, 2 * threads) if device.type == "cpu" else 8


def describe(device: torch.device) -> Device:
    """What the service is told of a device."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return Device(kind="cuda", name=properties.name, memory_bytes=properties.total_memory)
    memory = psutil.virtual_memory().total
    if device.type == "mps":
        return Device(kind="mps", name=f"Apple {platform.machine()}", memory_bytes=memory)
    return Device(kind="cpu", name=_cpu_name()[:200], memory_bytes=memory)


def versions() -> dict[str, str]:
    """Of what a trial's numbers may depend on."""
    found = {
        name: version(name) for name in ("lrsearch", "torch", "torchvision", "numpy", "pillow")
    }
    if find_spec("timm"):
        found["timm"] = version("timm")
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found | {"python": platform.python_version()}


def warm_up(device: torch.device) -> None:
    """Take a step, so that no trial's clock counts what is loaded or compiled on first use."""
    norms: tuple[Norm, ...] = ("batch", "none")  # which use different kernels
    images = torch.zeros(2, 3, 32, 32, device=device)
    for norm in norms:
        generator = torch.Generator().manual_seed(0)
        network = ResNet27(width=0.0625, norm=norm, labels=2, generator=generator).to(device)
        steps = SGD([{"params": network.parameters(), "lr": 0.0}], momentum=0.9, weight_decay=0.0)
        torch.autograd.backward(network(images).sum())
        steps.step()
        with torch.inference_mode():
            network.eval()(images)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device or the machine has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error)
        for text in ("out of memory", "can't allocate memory", "not enough memory")
    )


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine() or "CPU"
