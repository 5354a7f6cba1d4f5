"""The device that a worker computes on."""

import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

from lrsearch.contract.workers import Device, DeviceKind
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
    found = {name: version(name) for name in ("lrsearch", "torch", "numpy", "pillow")}
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found | {"python": platform.python_version()}


def warm_up(device: torch.device) -> None:
    """Take one optimiser's step, so that no trial's clock counts what torch loads on first use."""
    layer = torch.nn.Linear(1, 1, device=device)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.0)
    torch.autograd.backward(layer(torch.ones(1, 1, device=device)))
    optimiser.step()


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
