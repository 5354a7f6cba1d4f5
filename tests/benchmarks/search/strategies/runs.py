"""Finetunes that are run by the epoch, within a budget."""

from tests.benchmarks.search.lookup import RECIPE, Task


class Runs:
    """Finetunes of a task, each of which goes on from where it stands.

    Published strategies name the best rates that they have seen, at whatever epoch. What a user
    wants is a finetune that was run to its end. So an epoch is run only if the rest of the budget
    still pays for the last one of the trial that it is of, and of the leader before it.

    Args:
        task: What to finetune on.
        budget: In finetune-equivalents.
    """

    def __init__(self, task: Task, budget: float) -> None:
        self._task = task
        self._left = round(budget * RECIPE.epochs)
        self.epochs: dict[int, int] = {}
        """By trial that has been begun: how many are done."""

    def run(self, trial: int, epoch: int) -> bool:
        """Bring a trial to the end of `epoch`, or answer False if the budget does not allow it."""
        cost = max(epoch - self.epochs.get(trial, 0), 0)
        if cost + self._reserve(trial, epoch) > self._left:
            return False
        self._left -= cost
        self.epochs[trial] = max(epoch, self.epochs.get(trial, 0))
        return True

    def finished(self) -> list[int]:
        """Trials that were run to their end."""
        return [trial for trial, epoch in self.epochs.items() if epoch == RECIPE.epochs]

    def deliver(self, *rivals: int) -> int:
        """The trial to end with: the leader is finished first, or the next one that is paid for.

        Args:
            rivals: Trials that were run to their end by other means, the best of which may be it.
        """
        for trial in self._ranked():
            if self.run(trial, RECIPE.epochs):
                break
        return self._task.selected([*rivals, *self.finished()])

    def _ranked(self) -> list[int]:
        """The best by validation after its last epoch first; of equals, what has come farther."""
        values = {
            trial: (self._task.val_top1(trial, epoch), epoch)
            for trial, epoch in self.epochs.items()
        }
        return sorted(values, key=lambda trial: values[trial], reverse=True)

    def _reserve(self, trial: int, epoch: int) -> int:
        """Epochs to keep if `trial` is now brought to the end of `epoch`."""
        if epoch == RECIPE.epochs or self.finished():
            return 0
        leaders = [self.epochs[leader] for leader in self._ranked()[:1] if leader != trial]
        return RECIPE.epochs - min([epoch, *leaders])
