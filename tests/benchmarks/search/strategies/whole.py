"""Strategies that finetune to the end whatever they try: exhaustive, random, Optuna's samplers."""

from typing import Final, Literal

import numpy as np

from lrsearch.contract.protocols import PAPER_SCALES, Graduated
from lrsearch.search.proposals import Tried, propose
from tests.benchmarks.search.lookup import BASELINE, PAPER, Task
from tests.benchmarks.search.strategies.replay import Replay

_PROTOCOL: Final = Graduated()

Sampler = Literal["tpe", "gp"]


def exhaustive(task: Task, budget: float, draw: int) -> int:
    """The paper's search: all 11 scales and the frozen baseline, whatever the budget."""
    return task.selected([BASELINE, *PAPER])


def random(task: Task, budget: float, draw: int) -> int:
    """As many scales as the budget pays for, drawn at random."""
    drawn = np.random.default_rng(draw).permutation(list(PAPER))[: int(budget)]
    return task.selected([BASELINE, *drawn.tolist()])


def sampled(strategy: Sampler) -> Replay:
    """One of Optuna's samplers on the paper's 11 scales, as the service asks it."""
    paths: dict[tuple[str, str, int, int], list[int]] = {}

    def replay(task: Task, budget: float, draw: int) -> int:
        # What is tried does not depend on what more the budget will pay for.
        measured = task.measured
        key = measured.task, measured.source, measured.seed, draw
        tried = paths.setdefault(key, [])
        while len(tried) < min(int(budget), len(PAPER)):
            tried.append(_next(strategy, task, tried, draw))
        return task.selected([BASELINE, *tried[: int(budget)]])

    return replay


def _next(strategy: Sampler, task: Task, tried: list[int], draw: int) -> int:
    known = [
        Tried({"scale": PAPER_SCALES[trial - 1]}, "complete", task.val_top1(trial))
        for trial in tried
    ]
    point = propose(_PROTOCOL, strategy, known, draw, number=len(tried) + 1)
    if point is None:
        raise RuntimeError(f"{strategy} proposes nothing after {len(tried)} of {len(PAPER)} scales")
    return 1 + PAPER_SCALES.index(float(point["scale"]))
