"""What all strategies are in a replay."""

from collections.abc import Callable
from typing import Final

from tests.benchmarks.search.lookup import Task

Replay = Callable[[Task, float, int], int]
"""From a task, a budget in finetune-equivalents and a draw to the trial that it ends with."""

FIRST_LOOK: Final = 0.3
"""Finetune-equivalents of baseline and probe, which fixed rates and random need not: 0.20 to 0.34
where it was measured, through the service on five tasks."""
