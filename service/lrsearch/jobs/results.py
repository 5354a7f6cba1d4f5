"""The result of a job: the best rates, how good they really are, and what it took."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lrsearch.contract.jobs import OPEN
from lrsearch.contract.leases import FinalReport, TestScore
from lrsearch.contract.rates import StageRates
from lrsearch.contract.results import Contender, Cost, Result
from lrsearch.db.tables import EpochRow, JobRow, TrialRow
from lrsearch.errors import ConflictError, NotFoundError, invalid_field
from lrsearch.jobs.confirmation import confirmation_of, confirmed_in_words
from lrsearch.jobs.jobs import source_model_of
from lrsearch.jobs.requests import request_of
from lrsearch.jobs.tasks import known_task
from lrsearch.statistics import mcnemar_p_value, wilson_interval

MINIMUM_TEST_IMAGES = 30
"""Below this a test accuracy says next to nothing, and none is reported."""

SIGNIFICANCE = 0.05
"""p-value from which on a gain is called not reliable."""


def get_result(job: JobRow) -> Result:
    """The stored result.

    Raises:
        ConflictError: the job is not over yet, code `job_not_finished`.
        NotFoundError: the job has failed or was cancelled; it has none.
    """
    if job.state in OPEN:
        raise ConflictError(
            detail=f"Job {job.id} is {job.state}; it has no result yet.",
            remedy=f"Follow it: GET /v1/jobs/{job.id}/events.",
            code="job_not_finished",
        )
    if job.result is None:
        raise NotFoundError(
            detail=f"Job {job.id} is {job.state} and has no result: {job.reason}.",
            remedy="Submit the job again.",
            code="no_result",
        )
    return Result.model_validate(job.result)


def build_result(session: Session, job: JobRow, final: FinalReport | None) -> Result:
    """What a job gave, from its trials and the scores on the test split (None: not tested).

    Raises:
        InvalidError: the scores are not of this job's winner and baseline on its test split.
    """
    request = request_of(job)
    winner = _trial(session, job, job.best_trial)
    baseline = _trial(session, job, 0)
    assert winner is not None
    assert winner.weights_sha256 is not None
    tested = final is not None and final.winner is not None
    expected = _expected_top1s(session, job, winner, baseline)
    contender = _contender(winner, final.winner if final else None, expected)
    rival = (
        _contender(baseline, final.baseline if final else None, expected)
        if baseline is not None and baseline.state == "complete"
        else None
    )
    if final is not None:
        _require_scores(final, job.test_images, rival)
    p_value = (
        mcnemar_p_value(final.only_winner_correct, final.only_baseline_correct)
        if final is not None and final.winner is not None and final.baseline is not None
        else None
    )
    gain = _gain_points(contender, rival)
    verdict = _verdict(contender, rival, gain, p_value)
    confirmation = confirmation_of(session, job, contender, rival)
    if confirmation is not None:
        verdict += " " + confirmed_in_words(confirmation, contender, rival)
    return Result(
        job_id=job.id,
        winner=contender,
        baseline=rival,
        evaluation="holdout" if tested else "validation_only",
        test_images=final.winner.images if final and final.winner else 0,
        gain_points=gain,
        gain_p_value=p_value,
        selection_optimism_points=_points(contender.val_top1, contender.test_top1),
        confirmation=confirmation,
        verdict=verdict,
        cost=_cost(session, job, request.recipe.epochs),
        source_model=source_model_of(session, job).name,
        images_per_label=request.images_per_label,
        recipe=request.recipe,
        weights_sha256=winner.weights_sha256,
        weights_url=f"/v1/jobs/{job.id}/weights",
    )


def _require_scores(final: FinalReport, test_images: int, rival: Contender | None) -> None:
    for name, score in (("winner", final.winner), ("baseline", final.baseline)):
        if name == "baseline" and rival is None:
            continue
        if score is None or score.images != test_images:
            raise invalid_field(
                name,
                f"must be scored on all {test_images} images of the test split",
                score.images if score else None,
            )


def _trial(session: Session, job: JobRow, number: int | None) -> TrialRow | None:
    return session.scalar(
        select(TrialRow).where(TrialRow.job_id == job.id, TrialRow.number == number)
    )


def _expected_top1s(
    session: Session, job: JobRow, *contenders: TrialRow | None
) -> dict[int, float]:
    """What is expected of some trials in the end, by number; of none but under `recommend`."""
    if request_of(job).strategy != "recommend":
        return {}
    trials = [trial for trial in contenders if trial is not None]
    rates = [StageRates.model_validate(trial.rates) for trial in trials]
    expected = known_task(session, job).expected_top1s(rates)
    return {trial.number: top1 for trial, top1 in zip(trials, expected, strict=True)}


def _contender(
    trial: TrialRow, score: TestScore | None, expected_top1s: dict[int, float]
) -> Contender:
    assert trial.val_top1 is not None
    assert trial.val_loss is not None
    return Contender(
        trial=trial.number,
        point=trial.point,
        rates=StageRates.model_validate(trial.rates),
        val_top1=trial.val_top1,
        val_loss=trial.val_loss,
        test_top1=score.correct / score.images if score else None,
        test_interval=wilson_interval(score.correct, score.images) if score else None,
        expected_top1=expected_top1s.get(trial.number),
    )


def _points(high: float | None, low: float | None) -> float | None:
    return None if high is None or low is None else 100.0 * (high - low)


def _gain_points(winner: Contender, baseline: Contender | None) -> float | None:
    if baseline is None:
        return None
    if winner.test_top1 is not None:
        return _points(winner.test_top1, baseline.test_top1)
    return _points(winner.val_top1, baseline.val_top1)


def _verdict(
    winner: Contender, baseline: Contender | None, gain: float | None, p_value: float | None
) -> str:
    if baseline is None or gain is None:
        return f"Trial {winner.trial} is the best; there is no baseline to compare it with."
    if winner.trial == baseline.trial:
        if winner.expected_top1 is not None:
            return (
                "The baseline itself is the best: of nothing that was tried more is expected than "
                "of a frozen network."
            )
        return "The baseline itself is the best: nothing that was tried beats a frozen network."
    if p_value is None:
        if winner.expected_top1 is not None and gain <= 0.0:
            less = f"{-gain:.1f} points less accurate than" if gain < 0.0 else "as accurate as"
            return (
                f"No gain: trial {winner.trial} is {less} the baseline on validation images, "
                "though more is expected of its rates."
            )
        if gain == 0.0:
            return (
                f"No gain: trial {winner.trial} is as accurate as the baseline on validation "
                "images; only its loss is lower."
            )
        return (
            f"Trial {winner.trial} beats the baseline by {gain:.1f} points on validation images; "
            "too few images are left for a test, so this flatters it."
        )
    if p_value >= SIGNIFICANCE:
        return (
            f"No reliable gain: trial {winner.trial} differs from the baseline by {gain:+.1f} "
            f"points on the test images, which may be chance (p = {p_value:.2g})."
        )
    what = "beats" if gain > 0.0 else "loses to"
    return (
        f"Trial {winner.trial} {what} the baseline by {abs(gain):.1f} points on images that chose "
        f"nothing (p = {p_value:.2g})."
    )


def _cost(session: Session, job: JobRow, epochs: int) -> Cost:
    ran = session.scalar(
        select(func.count())
        .select_from(EpochRow)
        .join(TrialRow, TrialRow.id == EpochRow.trial_id)
        .where(TrialRow.job_id == job.id, TrialRow.baseline.is_(False))
    )
    return Cost(
        trials=job.trials_finished,
        epochs=ran or 0,
        seconds=job.seconds_spent,
        finetune_equivalents=(ran or 0) / epochs,
    )
