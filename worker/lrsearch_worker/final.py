"""The final test: winner and baseline on the test split, once."""

from time import perf_counter

import numpy as np

from lrsearch.contract.leases import FinalReport, TestScore
from lrsearch_worker.engine.metrics import Evaluation
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.weights import Weights


def run_final(task: LoadedTask, winner: Weights, baseline: Weights | None) -> FinalReport:
    """Score both on the same images; all null where the test split is empty.

    Raises:
        WeightsError: The weights are not of this task.
    """
    started = perf_counter()
    if task.size("test") == 0:
        return FinalReport(winner=None, baseline=None, seconds=perf_counter() - started)
    ours = task.evaluate(winner, "test")
    theirs = task.evaluate(baseline, "test") if baseline is not None else None
    return FinalReport(
        winner=_score(ours),
        baseline=_score(theirs) if theirs else None,
        only_winner_correct=_only(ours, theirs) if theirs else 0,
        only_baseline_correct=_only(theirs, ours) if theirs else 0,
        seconds=perf_counter() - started,
    )


def _score(evaluation: Evaluation) -> TestScore:
    return TestScore(
        images=len(evaluation.correct),
        correct=int(np.count_nonzero(evaluation.correct)),
        loss=evaluation.loss,
    )


def _only(one: Evaluation, other: Evaluation) -> int:
    """Images that `one` has right and `other` wrong."""
    return int(np.count_nonzero(one.correct & ~other.correct))
