"""Made-up jobs with trials and results, as the service would tell of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from lrsearch.contract.budgets import Budget
from lrsearch.contract.datasets import DataSet, DataSetStatistics, LabelCount, Progress, Spread
from lrsearch.contract.jobs import Best, Job, JobRequest, Spent
from lrsearch.contract.protocols import Graduated, Point, Protocol, is_finite
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch.contract.results import (
    Confirmation,
    Contender,
    Cost,
    Interval,
    PointsInterval,
    Result,
)
from lrsearch.contract.trials import EpochMetrics, Trial, TrialState
from lrsearch.report.job_report import JobReport
from tests.probes import a_probe

STARTED = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)

JOB_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

EPOCHS = 5

BASELINE_RATES = StageRates.of(inner=0.0, head=0.01)


def identifier(number: int) -> str:
    """A valid identifier."""
    return f"01890a5d-ac96-774b-bcce-{number:012x}"


def a_trial(
    number: int,
    rates: StageRates,
    point: Point,
    val_top1: float | None,
    *,
    state: TrialState = "complete",
    reason: str | None = None,
    replicate: int = 0,
) -> Trial:
    """A trial that has ended; its curve rises to `val_top1`."""
    curve = [
        EpochMetrics(
            epoch=epoch,
            train_loss=2.0 / epoch,
            val_loss=1.0 / epoch,
            val_top1=val_top1 * epoch / EPOCHS,
            seconds=1.0,
        )
        for epoch in range(1, EPOCHS + 1)
        if val_top1 is not None
    ]
    return Trial(
        id=identifier(number),
        job_id=JOB_ID,
        number=number,
        baseline=number == 0,
        replicate=replicate,
        point=point,
        rates=rates,
        state=state,
        reason=reason,
        attempts=1,
        worker="worker-1",
        val_top1=val_top1,
        val_loss=None if val_top1 is None else 1.0 - val_top1,
        curve=curve,
        seconds=6.0,
        started_at=STARTED,
        finished_at=STARTED + timedelta(seconds=6),
    )


def trials_of(protocol: Protocol, accuracies: list[float | None]) -> list[Trial]:
    """The baseline, then the protocol's first points with these accuracies; null has diverged."""
    trials = [a_trial(0, BASELINE_RATES, {}, 0.55)]
    for number, (point, accuracy) in enumerate(
        zip(protocol.points(), accuracies, strict=False), start=1
    ):
        state: TrialState = "complete" if accuracy is not None else "diverged"
        reason = None if accuracy is not None else "the loss was NaN in step 12"
        trials.append(
            a_trial(number, protocol.rates(point), point, accuracy, state=state, reason=reason)
        )
    return trials


GRADUATED_ACCURACIES = [0.61, 0.66, 0.72, 0.75, 0.79, 0.81, 0.80, 0.78, 0.7, 0.41, None]


def a_job(protocol: Protocol | None = None, **changes: Any) -> Job:
    """A complete job."""
    protocol = protocol or Graduated()
    request = JobRequest(
        data_set="cats",
        name="cats-10",
        images_per_label=10,
        protocol=protocol,
        strategy="exhaustive" if is_finite(protocol) else "random",
        recipe=Recipe(epochs=EPOCHS),
        budget=Budget(),
    )
    fields: dict[str, Any] = {
        "id": JOB_ID,
        "name": "cats-10",
        "state": "complete",
        "reason": None,
        "request": request.resolved(),
        "data_set_id": identifier(1000),
        "source_model_id": identifier(1001),
        "trials_planned": 12,
        "trials_finished": 12,
        "spent": Spent(trials=11, epochs=55, seconds=72.0),
        "best": Best(trial=6, val_top1=0.81),
        "probe": a_probe(),
        "created_at": STARTED,
        "started_at": STARTED,
        "finished_at": STARTED + timedelta(seconds=80),
    }
    return Job(**{**fields, **changes})


def a_data_set(labels: list[str] | None = None) -> DataSet:
    """A ready data set."""
    labels = labels or ["cat", "dog", "horse"]
    return DataSet(
        id=identifier(1000),
        name="cats",
        state="ready",
        progress=Progress(done=150 * len(labels), total=150 * len(labels)),
        fingerprint="ab" * 32,
        statistics=DataSetStatistics(
            labels=[
                LabelCount(label=label, images=150 - 10 * i, distinct=140 - 10 * i)
                for i, label in enumerate(labels)
            ],
            images=sum(150 - 10 * i for i in range(len(labels))),
            distinct_images=sum(140 - 10 * i for i in range(len(labels))),
            duplicates_within_label=10 * len(labels),
            images_per_label=Spread(min=150 - 10 * len(labels) + 10, median=140, max=150),
            widths=Spread(min=28, median=28, max=64),
            heights=Spread(min=28, median=28, max=64),
            modes={"L": 450},
            formats={"PNG": 440, "JPEG": 10},
            bytes=123_456,
        ),
        content_bytes=130_000,
        created_at=STARTED,
    )


def a_result(trials: list[Trial], winner: int) -> Result:
    """A result in which this trial has won, tested on 300 images."""

    def contender(trial: Trial, test_top1: float) -> Contender:
        assert trial.val_top1 is not None
        assert trial.val_loss is not None
        return Contender(
            trial=trial.number,
            point=trial.point,
            rates=trial.rates,
            val_top1=trial.val_top1,
            val_loss=trial.val_loss,
            test_top1=test_top1,
            test_interval=Interval(low=test_top1 - 0.05, high=test_top1 + 0.04),
        )

    return Result(
        job_id=JOB_ID,
        winner=contender(trials[winner], 0.773),
        baseline=contender(trials[0], 0.537),
        evaluation="holdout",
        test_images=300,
        gain_points=23.6,
        gain_p_value=2e-9,
        selection_optimism_points=3.7,
        verdict="The rates found beat the usual practice by 23.6 points.",
        cost=Cost(trials=12, epochs=55, seconds=72.0, finetune_equivalents=11.0),
        source_model="general",
        images_per_label=10,
        recipe=Recipe(epochs=EPOCHS),
        weights_sha256="cd" * 32,
        weights_url=f"/v1/jobs/{JOB_ID}/weights",
    )


def a_confirmed_report(val_top1: float | None = 0.78) -> JobReport:
    """As `a_report`, with the winner tried with a second seed; null has diverged."""
    report = a_report()
    assert report.result is not None
    winner = report.trials[6]
    trial = a_trial(
        12,
        winner.rates,
        winner.point,
        val_top1,
        state="complete" if val_top1 is not None else "diverged",
        replicate=1,
    )
    confirmation = Confirmation(
        trial=12,
        state=trial.state,
        val_top1=val_top1,
        validation_images=240,
        difference_points=None if val_top1 is None else -3.0,
        difference_interval=None if val_top1 is None else PointsInterval(low=-10.2, high=4.2),
        within_chance=None if val_top1 is None else True,
        gain_points=None if val_top1 is None else 23.0,
    )
    result = report.result.model_copy(update={"confirmation": confirmation})
    return report.model_copy(update={"trials": [*report.trials, trial], "result": result})


def a_report(**changes: Any) -> JobReport:
    """The report of a complete `graduated` job that trial 6 has won."""
    trials = trials_of(Graduated(), GRADUATED_ACCURACIES)
    fields: dict[str, Any] = {
        "job": a_job(),
        "data_set": a_data_set(),
        "trials": trials,
        "result": a_result(trials, winner=6),
    }
    return JobReport(**{**fields, **changes})
