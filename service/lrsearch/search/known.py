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
            Observation(each.rates, each.val_top1, self.val_images)
            for each in self.finetunes
            if each.state == "complete" and each.val_top1 is not None
        ]

    @property
    def lessons(self) -> list[Observation]:
        """What all finetunes that are over say of their rates.

        One that diverged counts as guessing, one that was stopped early by the epochs that it has
        run; one that failed or was cancelled says nothing.
        """
        return self._taught("pruned")

    @property
    def news(self) -> list[Observation]:
        """What all finetunes, those included that are running, say of their rates so far."""
        return self._taught("pruned", "running")

    @property
    def pending(self) -> list[StageRates]:
        """Rates of finetunes that are not over yet."""
        return [each.rates for each in self.finetunes if each.state in ("waiting", "running")]

    def expected_top1s(self, rates: Sequence[StageRates]) -> list[float]:
        """The accuracies that are expected of rates, after all complete finetunes."""
        belief = self.prior.believe(self.features, rates, self.observations)
        return [float(share) for share in belief.shares()]

    def _taught(self, *unfinished: str) -> list[Observation]:
        taught = []
        for each in self.finetunes:
            if each.state == "complete" and each.val_top1 is not None:
                taught.append(Observation(each.rates, each.val_top1, self.val_images))
            elif each.state == "diverged":
                taught.append(Observation(each.rates, self.chance, self.val_images))
            elif each.state in unfinished and each.curve:
                share = min(len(each.curve) / self.epochs, 1.0)
                last = each.curve[-1].val_top1
                taught.append(Observation(each.rates, last, self.val_images, share))
        return taught
