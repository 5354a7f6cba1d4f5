"""Stand-ins for the finetune, for what a real one does not do on demand."""

from collections.abc import Callable, Iterator

import pytest

from lrsearch.contract.rates import StageRates
from lrsearch.contract.sources import Card
from lrsearch.contract.trials import EpochMetrics
from lrsearch_worker.engine.checkpoints import TrainingState
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.weights import to_bytes

Steps = Iterator[EpochMetrics | None]
Script = Callable[[], Steps]


def play(monkeypatch: pytest.MonkeyPatch, *scripts: Script) -> None:
    """Let the next trials be these, one after the other; the last one is played on and on."""
    left = list(scripts)

    class Engine:
        def __init__(self, task: LoadedTask, rates: StageRates, clock: object) -> None:
            self._task = task

        def steps(self) -> Steps:
            return (left.pop(0) if len(left) > 1 else left[0])()

        def state(self) -> TrainingState:
            raise NotImplementedError("a trial that is played is never saved")

        def result(self, card: Card) -> bytes:
            return to_bytes(self._task.network().state_dict(), self._task.result_spec(card))

    monkeypatch.setattr("lrsearch_worker.trial.Finetune", Engine)


def metrics(epoch: int, val_top1: float = 0.5, seconds: float = 1.0) -> EpochMetrics:
    """An epoch of which only accuracy and duration matter."""
    return EpochMetrics(
        epoch=epoch, train_loss=1.0, val_loss=1.0, val_top1=val_top1, seconds=seconds
    )


def all_epochs(epochs: int = 3, val_top1: float = 0.5) -> Steps:
    """A trial without incident."""
    for epoch in range(1, epochs + 1):
        yield metrics(epoch, val_top1)
