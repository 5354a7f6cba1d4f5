"""Inputs by number: the same number and seed give the same input."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fuzz.intake.archives import hostile_archive


@dataclass(frozen=True)
class Inputs:
    """Archives made of some images."""

    images: Sequence[bytes]
    seed: int

    def make(self, number: int) -> tuple[str, bytes]:
        """What was done to it, and the input."""
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311  # a test's, no secret
        return hostile_archive(self.images, chance)
