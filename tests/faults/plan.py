"""How large a run is, and how much breaks in it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Plan:
    """How large a run is."""

    seed: int = 0
    jobs: int = 50
    trials: int = 20
    """Of each job."""
    workers: int = 32
    replicas: int = 2
    lease_seconds: float = 6.0
    epoch_seconds: float = 1.0
    pause_seconds: float = 1.0
    """Between two things that the monkey breaks, on the average."""
    deeds: int = 10_000
    """Things that it breaks at most."""
    limit_seconds: float = 540.0
    """After which what is not finished is stuck."""
    cut_share: float = 0.5
    """Of connections that are cut."""
    mean_bytes: float = 8_000.0
    """That such a connection carries, both ways together."""


SHORT: Final = Plan(
    jobs=4,
    trials=12,
    workers=8,
    lease_seconds=2.0,
    epoch_seconds=0.2,
    pause_seconds=0.7,
    deeds=10,
    limit_seconds=200.0,
)
"""For the normal tests."""
