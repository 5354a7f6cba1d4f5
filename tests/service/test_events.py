"""Events: numbered without gaps, in the order of what they tell of, resumable."""

from concurrent.futures import ThreadPoolExecutor

from lrsearch.contract.budgets import Budget
from lrsearch.contract.events import JobFinished, TrialFinished, TrialStarted
from lrsearch.contract.leases import FinalWork
from lrsearch.contract.protocols import LastLayer
from tests.service.rig import Rig, final_report_of


def test_a_jobs_events_tell_its_course(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.02]))
    baseline = rig.claim(rig.worker(name="gpu-7"))
    rig.beat(baseline, [0.4])
    rig.beat(baseline, [0.4, 0.5])
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
        "trial_finished",
        "job_finished",
    ]
    assert [event.id for event in events] == list(range(1, 10))
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[0].body == TrialStarted(trial=0, attempt=1, worker="gpu-7")
    assert events[3].body == TrialFinished(
        trial=0, state="complete", reason=None, val_top1=0.5, best=True
    )
    assert events[-1].body == JobFinished(state="complete", reason=None)


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
                rig.beat(lease, [0.4])
                rig.complete(lease, 0.5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [rig.worker() for _ in range(4)]))
    events = rig.events(job)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[-1].body.type == "job_finished"
    for number in range(12):
        types = [e.body.type for e in events if getattr(e.body, "trial", None) == number]
        assert types == ["trial_started", "epoch_finished", "trial_finished"]


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
