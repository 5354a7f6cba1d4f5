from datetime import timedelta

import pytest
from rich.console import Console

from lrsearch.cli.live import drawing
from lrsearch.cli.progress import JobProgress
from lrsearch.cli.sentences import sentence
from lrsearch.contract.events import (
    EpochFinished,
    Event,
    EventBody,
    JobFinished,
    ProbeFinished,
    TrialFinished,
    TrialPutBack,
    TrialStarted,
)
from lrsearch.contract.trials import EpochMetrics
from tests.probes import a_probe
from tests.report.outcomes import JOB_ID, STARTED, a_job


def event(number: int, seconds: float, body: EventBody) -> Event:
    return Event(id=number, job_id=JOB_ID, at=STARTED + timedelta(seconds=seconds), body=body)


def started(trial: int, attempt: int = 1, epochs_done: int = 0) -> TrialStarted:
    return TrialStarted(trial=trial, attempt=attempt, worker="worker-1", epochs_done=epochs_done)


def epoch(trial: int, number: int, val_top1: float = 0.5) -> EpochFinished:
    metrics = EpochMetrics(
        epoch=number, train_loss=1.5, val_loss=1.0, val_top1=val_top1, seconds=1.0
    )
    return EpochFinished(trial=trial, epochs=5, metrics=metrics)


def finished(trial: int, val_top1: float = 0.5, *, best: bool = False) -> TrialFinished:
    return TrialFinished(trial=trial, state="complete", reason=None, val_top1=val_top1, best=best)


def progress_after(*happenings: tuple[float, EventBody], trials: int | None = 3) -> JobProgress:
    progress = JobProgress(
        a_job(state="waiting", reason="no worker is there", trials_planned=trials)
    )
    for number, (seconds, body) in enumerate(happenings, start=1):
        progress.apply(event(number, seconds, body))
    return progress


def drawn(progress: JobProgress) -> str:
    console = Console(width=120, record=True, file=None)
    with console.capture() as capture:
        console.print(drawing(progress, lambda number: f"scale {number}"))
    return capture.get()


def test_a_job_that_waits_says_why() -> None:
    text = drawn(progress_after())

    assert "waiting" in text
    assert "no worker is there" in text


def test_a_running_trial_shows_its_epoch_and_accuracy() -> None:
    progress = progress_after((0, started(1)), (1, epoch(1, 3, 0.625)))

    text = drawn(progress)

    assert "no worker" not in text
    assert "scale 1" in text
    assert "epoch 3/5" in text
    assert "62.5 %" in text


def test_a_task_that_is_probed_is_described() -> None:
    assert "Task" not in drawn(progress_after((0, started(0))))

    text = drawn(progress_after((0, started(0)), (1, ProbeFinished(probe=a_probe(), reason=None))))

    assert "Task: 30 training images of 3 labels" in text


def test_the_best_so_far_is_named() -> None:
    progress = progress_after((0, finished(0, 0.4, best=True)), (1, finished(1, 0.6, best=True)))

    assert "Best so far: scale 1, validation top-1 60.0 %" in drawn(progress)
    assert "2/3 trials" in drawn(progress)


def test_time_left_follows_from_the_pace_of_the_searched_epochs() -> None:
    # The baseline's five epochs take no time and are not counted; 5 of 10 take 20 s.
    progress = progress_after(
        (0, started(0)), (1, finished(0)), (10, started(1)), (30, finished(1))
    )

    assert progress.seconds_left == pytest.approx(20)
    assert progress.share == pytest.approx(0.5)


def test_nothing_is_estimated_before_the_first_epoch() -> None:
    assert progress_after((0, started(0)), (1, finished(0)), (2, started(1))).seconds_left is None


def test_nothing_is_estimated_where_no_number_of_trials_is_planned() -> None:
    progress = progress_after((0, started(1)), (5, finished(1)), trials=None)

    assert progress.seconds_left is None
    assert progress.share is None
    assert "1 trials" in drawn(progress)


def test_a_trial_that_goes_on_has_done_the_epochs_of_its_checkpoint() -> None:
    progress = progress_after((0, started(1)), (1, epoch(1, 4)), (2, started(1, 2, epochs_done=3)))

    assert progress.running[1].epoch == 3


def test_a_trial_that_is_put_back_is_not_running() -> None:
    progress = progress_after(
        (0, started(1)), (1, epoch(1, 2)), (2, TrialPutBack(trial=1, reason="lease expired"))
    )

    assert progress.running == {}
    assert progress.share == 0.0


def test_all_trials_done_means_the_winner_is_tested() -> None:
    progress = progress_after((0, finished(0)), (1, finished(1)), (2, finished(2)))

    assert progress.state == "finalising"
    assert "testing the winner" in drawn(progress)


def test_the_confirmation_of_the_winner_adds_a_trial_to_those_planned() -> None:
    search = [(0.0, finished(0)), (1.0, finished(1)), (2.0, finished(2))]

    progress = progress_after(*search, (3.0, started(3)))
    assert (progress.state, progress.trials, progress.share) == ("running", 4, 2 / 3)

    progress = progress_after(*search, (3.0, started(3)), (4.0, finished(3)))
    assert progress.state == "finalising"


def test_the_end_of_a_job_ends_its_trials() -> None:
    progress = progress_after(
        (0, started(1)), (1, JobFinished(state="cancelled", reason="cancelled by the user"))
    )

    assert progress.running == {}
    assert "cancelled by the user" in drawn(progress)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (started(1), "trial 1 (scale 1) started on worker-1"),
        (started(1, attempt=2), "trial 1 (scale 1) started on worker-1, attempt 2"),
        (
            started(1, attempt=2, epochs_done=3),
            "trial 1 (scale 1) started on worker-1, attempt 2, after epoch 3",
        ),
        (epoch(1, 2), "trial 1 epoch 2/5: validation top-1 50.0 %, training loss 1.500"),
        (TrialPutBack(trial=1, reason="lease expired"), "trial 1 waits again: lease expired"),
        (
            finished(1, best=True),
            "trial 1 (scale 1) complete: validation top-1 50.0 %, the best so far",
        ),
        (
            TrialFinished(trial=2, state="diverged", reason="NaN", val_top1=None, best=False),
            "trial 2 (scale 2) diverged (NaN)",
        ),
        (
            ProbeFinished(probe=a_probe(), reason=None),
            (
                "task probed: 30 training images of 3 labels (10 each); "
                "frozen features 70.0 % linear, 60.0 % by neighbours; chance 33.3 %"
            ),
        ),
        (ProbeFinished(probe=None, reason="no memory"), "the task could not be probed: no memory"),
        (JobFinished(state="failed", reason="no trial ended"), "job failed: no trial ended"),
    ],
)
def test_every_event_is_a_sentence(body: EventBody, words: str) -> None:
    assert sentence(event(1, 0, body), lambda number: f"scale {number}").endswith(f"  {words}")
