"""Events: numbered without gaps, in the order of what they tell of, resumable."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import EpochFinished, JobFinished, TrialFinished, TrialStarted
from lrsearch.contract.leases import FinalWork
from lrsearch.contract.protocols import LastLayer
from tests.service.rig import Rig, curve, final_report_of


def test_a_jobs_events_tell_its_course(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    baseline = rig.claim(rig.worker(name="gpu-7"))
    rig.beat(baseline, [0.5])
    rig.beat(baseline, [0.5, 0.5])
    rig.complete(baseline, 0.5)
    rig.release(rig.claim())
    rig.run(lambda work: 0.6)
    events = rig.events(job)
    assert [event.body.type for event in events] == [
        "trial_started",
        "epoch_finished",
        "epoch_finished",
        "trial_finished",
        "trial_started",
        "trial_put_back",
        "trial_started",
        "epoch_finished",
        "epoch_finished",
        "trial_finished",
        "job_finished",
    ]
    assert [event.id for event in events] == list(range(1, 12))
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0].body == TrialStarted(trial=0, attempt=1, worker="gpu-7")
    assert events[3].body == TrialFinished(
        trial=0, state="complete", reason=None, val_top1=0.5, best=True
    )
    assert events[-1].body == JobFinished(state="complete", reason=None)


@pytest.mark.parametrize(
    ("heard", "reported", "told"),
    [
        ([], [0.4, 0.5, 0.6], [(1, 0.4), (2, 0.5), (3, 0.6)]),
        ([0.4], [0.4, 0.5, 0.6], [(1, 0.4), (2, 0.5), (3, 0.6)]),
        ([0.4, 0.5, 0.6], [0.4, 0.5, 0.6], [(1, 0.4), (2, 0.5), (3, 0.6)]),
        # Run again with other numbers: what came after is told again too.
        ([0.4, 0.5, 0.6], [0.4, 0.3, 0.6], [(1, 0.4), (2, 0.5), (3, 0.6), (2, 0.3), (3, 0.6)]),
        ([0.4, 0.5, 0.6], [0.4], [(1, 0.4), (2, 0.5), (3, 0.6)]),
        ([0.4, 0.5], [], [(1, 0.4), (2, 0.5)]),
    ],
)
def test_epochs_that_a_report_brings_are_told_before_the_trials_end(
    rig: Rig, heard: list[float], reported: list[float], told: list[tuple[int, float]]
) -> None:
    job = rig.submit(epochs=3)
    lease = rig.claim()
    rig.beat(lease, heard)
    rig.end(lease, "failed", *reported)
    started, *epochs, finished = (event.body for event in rig.events(job))
    assert (started.type, finished.type) == ("trial_started", "trial_finished")
    assert all(isinstance(body, EpochFinished) and body.epochs == 3 for body in epochs)
    assert [
        (body.metrics.epoch, body.metrics.val_top1)
        for body in epochs
        if isinstance(body, EpochFinished)
    ] == told
    assert rig.trials(job)[0].curve == curve(*reported)


def test_a_reader_resumes_behind_the_last_event_that_it_saw(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    events = rig.events(job)
    for seen in range(len(events) + 1):
        assert rig.events(job, after=seen) == events[seen:]


def test_jobs_have_events_of_their_own(rig: Rig) -> None:
    first, second = (rig.submit(protocol=LastLayer(ll=[0.01])) for _ in range(2))
    rig.run()
    for job in (first, second):
        events = rig.events(job)
        assert {event.job_id for event in events} == {job.id}
        assert [event.id for event in events] == list(range(1, len(events) + 1))


def test_workers_at_once_leave_no_gap_and_tell_each_trial_in_order(rig: Rig) -> None:
    job = rig.submit()

    def work(worker: str) -> None:
        while (lease := rig.try_claim(worker)) is not None:
            if isinstance(lease.work[0], FinalWork):
                rig.report(lease, lease.work[0], final_report_of(lease.work[0]))
            else:
                rig.beat(lease, [0.5])
                rig.complete(lease, 0.5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [rig.worker() for _ in range(4)]))
    events = rig.events(job)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[-1].body.type == "job_finished"
    for number in range(12):
        types = [e.body.type for e in events if getattr(e.body, "trial", None) == number]
        assert types == ["trial_started", "epoch_finished", "epoch_finished", "trial_finished"]


def test_every_cancelled_trial_is_told(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=3))
    rig.complete(rig.claim(), 0.5)
    rig.claim(max_trials=2)
    rig.cancel(job.id)
    finished = [e.body for e in rig.events(job) if isinstance(e.body, TrialFinished)]
    assert [(body.trial, body.state) for body in finished[1:]] == [
        (1, "cancelled"),
        (2, "cancelled"),
    ]
    assert rig.events(job)[-1].body == JobFinished(
        state="cancelled", reason="cancelled by the user"
    )
