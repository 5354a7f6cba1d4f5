"""What the winner's second seed has confirmed."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.contract.results import Confirmation, Contender
from lrsearch.db.tables import JobRow, TrialRow
from lrsearch.report.text import percent
from lrsearch.statistics import difference_interval


def confirmation_of(
    session: Session, job: JobRow, winner: Contender, baseline: Contender | None
) -> Confirmation | None:
    """How the winner's rates did with a second seed; None where they were not tried with one."""
    trial = session.scalar(
        select(TrialRow).where(TrialRow.job_id == job.id, TrialRow.replicate > 0)
    )
    if trial is None:
        return None
    images = job.validation_images
    interval = (
        difference_interval(
            round(trial.val_top1 * images), images, round(winner.val_top1 * images), images
        )
        if trial.val_top1 is not None
        else None
    )
    return Confirmation(
        trial=trial.number,
        state=trial.state,
        val_top1=trial.val_top1,
        validation_images=images,
        difference_points=_points(trial.val_top1, winner.val_top1),
        difference_interval=interval,
        within_chance=None if interval is None else interval.low <= 0.0 <= interval.high,
        gain_points=None if baseline is None else _points(trial.val_top1, baseline.val_top1),
    )


def confirmed_in_words(
    confirmation: Confirmation, winner: Contender, baseline: Contender | None
) -> str:
    """A sentence."""
    found = confirmation.val_top1
    if found is None and confirmation.state == "diverged":
        return "With a second seed it diverged."
    if found is None:
        return f"It could not be confirmed on a second seed: that trial is {confirmation.state}."
    first, second = percent(winner.val_top1), percent(found)
    chance = "" if confirmation.within_chance else ", which is more than chance explains"
    if baseline is None:
        return f"With a second seed its validation accuracy is {second} instead of {first}{chance}."
    if found <= baseline.val_top1:
        return (
            f"But the gain did not repeat: with a second seed its validation accuracy is {second} "
            f"instead of {first}, and the baseline's {percent(baseline.val_top1)}."
        )
    return (
        f"The gain repeats with a second seed: {confirmation.gain_points:.1f} points on validation "
        f"images, where the first has {_points(winner.val_top1, baseline.val_top1):.1f}{chance}."
    )


def _points(high: float | None, low: float) -> float | None:
    return None if high is None else 100.0 * (high - low)
