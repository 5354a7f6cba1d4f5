"""What is known of a task: what the prior teaches, and what the task's own finetunes gave."""

from collections.abc import Sequence
from dataclasses import dataclass

from lrsearch.contract.rates import StageRates
from lrsearch.contract.trials import EpochMetrics
from lrsearch.search.prior.features import Vector
from lrsearch.search.prior.prior import Observation, Prior


@dataclass(frozen=True)
class Finetune:
    """A trial, as far as it tells of its rates."""

    number: int
    """The trial's; 0 is the baseline."""
    rates: StageRates
    state: str  # contract.trials.TrialState
    val_top1: float | None
    """Of a complete one."""
    curve: Sequence[EpochMetrics]
    """Epochs run so far; may be empty for a complete one, of which `val_top1` says all."""


@dataclass(frozen=True)
class KnownTask:
    """A job's task, as strategy `recommend` sees it."""

    prior: Prior
    features: Vector
    """See `task_features`."""
    chance: float
    """Accuracy of guessing, in (0, 1]."""
    val_images: int
    """Images that an accuracy is measured on."""
    epochs: int
    """Of a whole finetune."""
    finetunes: Sequence[Finetune]
    """In the order of their numbers, so the baseline first; none with a second seed."""

    @property
    def observations(self) -> list[Observation]:
        """What complete finetunes gave."""
        return [
            self._observation(each.rates, each.val_top1)
            for each in self.finetunes
            if each.state == "complete" and each.val_top1 is not None
        ]

    @property
    def lessons(self) -> list[Observation]:
        """What all finetunes that are over say of their rates.

        One that diverged counts as guessing, one that was stopped early as its last epoch; one that
        failed or was cancelled says nothing.
        """
        taught = [(each.rates, self._lesson(each)) for each in self.finetunes]
        return [self._observation(rates, top1) for rates, top1 in taught if top1 is not None]

    @property
    def pending(self) -> list[StageRates]:
        """Rates of finetunes that are not over yet."""
        return [each.rates for each in self.finetunes if each.state in ("waiting", "running")]

    def expected_top1s(self, rates: Sequence[StageRates]) -> list[float]:
        """The accuracies that are expected of rates, after all complete finetunes."""
        belief = self.prior.believe(self.features, rates, self.observations)
        return [float(share) for share in belief.shares()]

    def _lesson(self, finetune: Finetune) -> float | None:
        match finetune.state:
            case "complete":
                return finetune.val_top1
            case "diverged":
                return self.chance
            case "pruned" if finetune.curve:
                return finetune.curve[-1].val_top1
            case _:
                return None

    def _observation(self, rates: StageRates, top1: float) -> Observation:
        return Observation(rates, top1, self.val_images)
