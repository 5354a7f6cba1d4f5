"""Why unfinished jobs and trials are where they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import event, update

from lrsearch.access.principals import NOBODY
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import Job
from lrsearch.contract.leases import ProbeReport, ProbeWork
from lrsearch.contract.protocols import LastLayer
from lrsearch.db.engine import Database
from lrsearch.db.tables import WorkerRow
from lrsearch.jobs import jobs, trials
from tests.probes import a_probe
from tests.service.rig import Rig, one_database


def why(rig: Rig, job: Job) -> tuple[str | None, str | None]:
    """The job's reason: code and sentence."""
    shown = rig.job(job)
    return shown.reason_code, shown.reason


def why_trial(rig: Rig, job: Job, number: int) -> tuple[str | None, str | None]:
    """A trial's reason: code and sentence."""
    trial = rig.trials(job)[number]
    return trial.reason_code, trial.reason


def test_a_new_job_tells_that_there_is_no_worker(rig: Rig) -> None:
    job = rig.submit()
    assert job.reason_code == "no_worker"
    expected = "no_worker", "no worker is there; start one: lrsearch-worker run"
    assert why(rig, job) == why_trial(rig, job, 0) == expected


def test_a_worker_that_was_not_seen_for_long_is_not_there(rig: Rig) -> None:
    job = rig.submit()
    worker = rig.worker()
    assert why(rig, job)[0] == "worker_free"
    with rig.database.write() as session:
        seen_at = WorkerRow.seen_at
        row = session.get_one(WorkerRow, worker)
        session.execute(update(WorkerRow).values({seen_at: row.seen_at - timedelta(seconds=120.0)}))
    assert why(rig, job)[0] == why_trial(rig, job, 0)[0] == "no_worker"


def test_a_job_for_another_device_names_those_that_are_there(rig: Rig) -> None:
    job = rig.submit(device="cuda")
    rig.worker("cpu")
    rig.worker("mps")
    sentence = "no worker with device cuda is there; there are: cpu, mps"
    assert why(rig, job) == why_trial(rig, job, 0) == ("no_worker_for_device", sentence)


def test_a_job_waits_while_all_workers_of_its_device_are_busy(rig: Rig) -> None:
    busy = [rig.submit(device="cpu", priority=1) for _ in range(2)]
    job = rig.submit(device="cpu")
    for _ in busy:
        rig.claim(rig.worker("cpu"))
    rig.worker("cuda")
    expected = "workers_busy", "all 2 workers are busy"
    assert why(rig, job) == why_trial(rig, job, 0) == expected
    rig.worker("cpu")
    assert why(rig, job)[0] == why_trial(rig, job, 0)[0] == "worker_free"


def test_what_runs_tells_where(rig: Rig) -> None:
    job = rig.submit()
    worker = rig.worker(name="gpu-7")
    baseline = rig.claim(worker)
    assert why(rig, job) == ("running", "the baseline runs on gpu-7")
    assert why_trial(rig, job, 0) == ("running", "it runs on gpu-7")
    rig.complete(baseline, 0.5)
    rig.claim(worker, max_trials=2)
    rig.claim(rig.worker(name="gpu-8"))
    assert why(rig, job) == ("running", "3 trials (1, 2, 3) run on gpu-7, gpu-8")


def test_a_retry_tells_what_became_of_the_attempt_before(rig: Rig) -> None:
    job = rig.submit()
    rig.lose(rig.claim(rig.worker(name="gpu-7")))
    lost = "attempt 1 of 3 was lost: worker gpu-7 was not heard of for 30 s"
    assert why(rig, job) == why_trial(rig, job, 0) == ("retry", lost)
    rig.claim(rig.worker(name="gpu-8"))
    assert why_trial(rig, job, 0) == ("running", "it runs on gpu-8, attempt 2")


def test_a_retry_without_a_worker_tells_both(rig: Rig) -> None:
    job = rig.submit(device="cpu")
    rig.lose(rig.claim())
    with rig.database.write() as session:
        session.execute(update(WorkerRow).values(device={"kind": "mps", "name": "made up"}))
    code, sentence = why(rig, job)
    assert code == "no_worker_for_device"
    assert sentence is not None
    assert sentence.startswith("no worker with device cpu is there; there are: mps; attempt 1 of 3")


def test_recommendations_wait_for_baseline_and_probe(rig: Rig) -> None:
    job = rig.submit(strategy="recommend", protocol=LastLayer(), probe=True)
    lease = rig.claim(rig.worker(name="gpu-7"))
    expected = "the baseline runs on gpu-7; proposals wait for the baseline and probe"
    assert why(rig, job) == ("baseline_and_probe", expected)
    rig.complete(lease, 0.5)
    assert why(rig, job)[0] == "baseline_and_probe"
    [probe] = [work for work in lease.work if isinstance(work, ProbeWork)]
    rig.report(lease, probe, ProbeReport(probe=a_probe()))
    assert why(rig, job)[0] == "worker_free"


def test_a_budget_that_running_trials_have_reserved_is_named(rig: Rig) -> None:
    job = rig.submit(epochs=10, budget=Budget(epochs=10))
    worker = rig.worker(name="gpu-7")
    rig.complete(rig.claim(worker), 0.5)
    lease = rig.claim(worker)
    expected = "trial 1 runs on gpu-7; what is left of the budget is reserved by it"
    assert why(rig, job) == ("budget_reserved", expected)
    rig.end(lease, "diverged", 0.1)
    assert why(rig, job)[0] == "worker_free"


def test_a_budget_of_seconds_that_a_running_trial_has_reserved_is_named(rig: Rig) -> None:
    job = rig.submit(budget=Budget(seconds=100.0))
    rig.complete(rig.claim(), 0.5)
    rig.claim()
    assert why(rig, job)[0] == "budget_reserved"


def test_the_final_test_tells_where_it_runs(rig: Rig) -> None:
    job = rig.submit(protocol=LastLayer(ll=[0.01]))
    worker = rig.worker(name="gpu-7")
    rig.complete(rig.claim(worker), 0.5)
    assert why(rig, job)[0] == "worker_free"
    rig.claim(worker)
    assert why(rig, job) == ("running", "the final test runs on gpu-7")


def test_what_is_over_has_no_code(rig: Rig) -> None:
    complete = rig.submit(protocol=LastLayer(ll=[0.02]))
    rig.run()
    cancelled = rig.submit()
    rig.cancel(cancelled.id)
    assert why(rig, complete) == (None, None)
    assert why(rig, cancelled) == (None, "cancelled by the user")
    assert {why_trial(rig, complete, number)[0] for number in (0, 1)} == {None}
    assert why_trial(rig, cancelled, 0) == (None, "the job was cancelled")


@one_database
def test_a_list_takes_the_same_queries_however_long_it_is(rig: Rig) -> None:
    rig.submit(budget=Budget(seconds=100.0))
    with _counted(rig.database) as of_one, rig.database.read() as session:
        jobs.list_jobs(session, NOBODY, None, 100)
    for priority in range(10):
        rig.submit(budget=Budget(seconds=100.0), priority=priority)
        rig.claim()
    with _counted(rig.database) as of_eleven, rig.database.read() as session:
        assert len(jobs.list_jobs(session, NOBODY, None, 100).items) == 11
    assert of_one == of_eleven


@one_database
def test_a_list_of_trials_takes_the_same_queries_however_long_it_is(rig: Rig) -> None:
    job = rig.submit()
    with _counted(rig.database) as of_one, rig.database.read() as session:
        trials.list_trials(session, jobs.find_job(session, job.id, NOBODY), None, 100)
    rig.complete(rig.claim(), 0.5)
    rig.release(rig.claim(max_trials=8))
    rig.claim()
    with _counted(rig.database) as of_nine, rig.database.read() as session:
        shown = trials.list_trials(session, jobs.find_job(session, job.id, NOBODY), None, 100).items
    assert [trial.state for trial in shown] == ["complete", "running", *["waiting"] * 7]
    assert of_one == of_nine


@contextmanager
def _counted(database: Database) -> Iterator[list[str]]:
    """What each statement that is sent meanwhile selects."""
    seen: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        seen.append(statement.split("WHERE")[0])

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
