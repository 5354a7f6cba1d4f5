"""Workers: processes that pull leases and run finetunes."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from lrsearch.contract.base import Contract, Identifier, Name

DeviceKind = Literal["cpu", "cuda", "mps"]


class Device(Contract):
    """What a worker computes on."""

    kind: DeviceKind
    name: str = Field(max_length=200, description="As the maker calls it.")
    memory_bytes: int | None = Field(default=None, ge=0, description="Null where unknown.")


class WorkerRegistration(Contract):
    """What a worker says of itself when it starts."""

    name: Name = Field(description="For people; several workers may share one.")
    device: Device
    versions: dict[str, str] = Field(
        default_factory=dict, max_length=50, description="Of lrsearch, python, torch and the like."
    )


class Worker(Contract):
    """A registered worker."""

    id: Identifier
    name: Name
    device: Device
    versions: dict[str, str]
    registered_at: datetime
    seen_at: datetime = Field(description="When it last claimed, sent a heartbeat or reported.")
    leases: int = Field(ge=0, description="Leases that it holds now.")
