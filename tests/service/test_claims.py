"""Claims: who gets which work, each piece once."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import OperationalError

from lrsearch.access.principals import Principal
from lrsearch.contract.budgets import Budget
from lrsearch.contract.leases import FinalWork, Lease, TrialWork
from lrsearch.contract.protocols import Graduated, LastLayer, LogRange
from lrsearch.contract.rates import StageRates
from lrsearch.contract.workers import DeviceKind
from lrsearch.errors import NotFoundError
from lrsearch.jobs.jobs import lock_job
from lrsearch.leasing import claims
from tests.service.rig import EPOCHS, Rig, final_report_of

THREADS = 8

Result = TypeVar("Result")


def test_the_baseline_is_trial_0_and_claimed_first(rig: Rig) -> None:
    job = rig.submit()
    [work] = rig.claim(max_trials=4).work
    assert isinstance(work, TrialWork)
    assert (work.number, work.baseline) == (0, True)
    assert work.rates == StageRates.of(inner=0.0, head=0.01)
    assert rig.trials(job)[0].state == "running"


def test_a_lease_tells_all_that_the_trial_needs(rig: Rig) -> None:
    job = rig.submit(images_per_label=7, epochs=3)
    lease = rig.claim()
    assert lease.task is not None
    assert lease.task.job_id == job.id
    assert lease.task.data_set_id == job.data_set_id
    assert lease.task.source_model.name == "random"
    assert lease.task.images_per_label == 7
    assert lease.task.recipe == job.request.recipe
    assert lease.heartbeat_seconds < lease.lease_seconds == rig.settings.lease_seconds


def test_each_trial_is_given_to_one_worker(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.02, 0.05]))
    assert [_numbers(rig.claim()) for _ in range(3)] == [[0], [1], [2]]
    assert rig.try_claim() is None


def test_a_lease_holds_up_to_the_wanted_trials_of_one_job(rig: Rig) -> None:
    jobs = [rig.submit(), rig.submit()]
    worker = rig.worker()
    rig.complete(rig.claim(worker), 0.5)
    lease = rig.claim(worker, max_trials=4)
    assert _numbers(lease) == [1, 2, 3, 4]
    assert lease.task is not None
    assert lease.task.job_id == jobs[0].id


def test_a_job_keeps_to_the_kind_of_device_of_its_first_trial(rig: Rig) -> None:
    rig.submit()
    cpu, cuda = rig.worker("cpu"), rig.worker("cuda")
    rig.complete(rig.claim(cuda), 0.5)
    assert rig.try_claim(cpu) is None
    assert _numbers(rig.claim(cuda)) == [1]


@pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
def test_a_job_that_names_a_device_waits_for_it(rig: Rig, kind: DeviceKind) -> None:
    job = rig.submit(device=kind)
    for other in {"cpu", "cuda", "mps"} - {kind}:
        assert rig.try_claim(rig.worker(other)) is None  # type: ignore[arg-type]  # a set of str
    assert kind in str(rig.job(job).reason)
    assert _numbers(rig.claim(rig.worker(kind))) == [0]


def test_higher_priority_goes_first_then_age(rig: Rig) -> None:
    old, young = rig.submit(name="old"), rig.submit(name="young")
    urgent = rig.submit(name="urgent", priority=5)
    idle = rig.submit(name="idle", priority=-5)
    order = [_job(rig.claim()) for _ in range(4)]
    # The urgent job's other trials go before the baselines of the rest.
    assert order == [urgent.id] * 4
    rig.cancel(urgent.id)
    rig.cancel(old.id)
    assert _job(rig.claim()) == young.id
    rig.cancel(young.id)
    assert _job(rig.claim()) == idle.id


def test_among_equals_whoever_has_the_least_work_running_goes_first(rig: Rig) -> None:
    many, few = (
        Principal(key_id=None, owner=owner, scopes=frozenset({"submit"})) for owner in "mf"
    )
    theirs = [rig.submit(principal=many) for _ in range(3)]
    mine = rig.submit(principal=few)
    order = [_job(rig.claim()) for _ in range(6)]
    first = theirs[0].id
    assert order == [first, mine.id] * 3
    urgent = rig.submit(principal=many, priority=1)  # which goes before whoever's
    assert [_job(rig.claim()) for _ in range(3)] == [urgent.id] * 3


def test_many_trials_of_one_lease_count_each(rig: Rig) -> None:
    many, few = (
        Principal(key_id=None, owner=owner, scopes=frozenset({"submit"})) for owner in "mf"
    )
    theirs = rig.submit(principal=many)
    rig.complete(rig.claim(), 0.5)
    mine = rig.submit(principal=few)
    rig.claim(max_trials=3)
    assert [_job(rig.claim()) for _ in range(4)] == [mine.id] * 3 + [theirs.id]


def test_what_was_put_back_goes_before_new_proposals(rig: Rig) -> None:
    rig.submit()
    rig.complete(rig.claim(), 0.5)
    rig.release(rig.claim())
    assert _numbers(rig.claim()) == [1]


def test_a_claim_shows_that_the_worker_is_there(rig: Rig) -> None:
    job = rig.submit()
    assert "no worker is there" in str(rig.job(job).reason)
    rig.submit(priority=1)
    rig.claim()
    assert rig.job(job).reason == "the only worker is busy"


def test_an_unknown_worker_must_register(rig: Rig) -> None:
    with pytest.raises(NotFoundError) as caught:
        rig.try_claim("018f0000-0000-7000-8000-000000000000")
    assert caught.value.code == "worker_unknown"


def test_the_final_test_comes_alone(rig: Rig) -> None:
    rig.submit(protocol=LastLayer(ll=[0.02]))
    for _ in range(2):
        rig.complete(rig.claim(), 0.5)
    [work] = rig.claim(max_trials=8).work
    assert isinstance(work, FinalWork)


def test_workers_that_claim_at_once_get_every_trial_exactly_once(rig: Rig) -> None:
    scales = [0.1 * i for i in range(1, 16)]
    jobs = [rig.submit(protocol=Graduated(scale=scales)) for _ in range(2)]
    given = _claim_at_once(rig)
    assert given == Counter((job.id, number) for job in jobs for number in range(16))


def test_workers_that_claim_at_once_do_not_overshoot_the_trials(rig: Rig) -> None:
    scale = LogRange(low=0.1, high=10.0)
    job = rig.submit(protocol=Graduated(scale=scale), strategy="random", budget=Budget(trials=15))
    assert _claim_at_once(rig) == Counter((job.id, number) for number in range(1 + 15))
    assert rig.job(job).spent.trials == 15


def test_workers_that_run_at_once_do_not_overshoot_the_epochs(rig: Rig) -> None:
    scales = [0.1 * i for i in range(1, 101)]
    job = rig.submit(protocol=Graduated(scale=scales), budget=Budget(epochs=24), epochs=5)

    def work(worker: str) -> None:
        while (lease := rig.try_claim(worker)) is not None:
            [piece] = lease.work
            if isinstance(piece, FinalWork):
                rig.report(lease, piece, final_report_of(piece))
            elif isinstance(piece, TrialWork) and piece.number % 3 == 1:
                rig.end(lease, "pruned", 0.1)
            else:
                rig.complete(lease, 0.5)
            assert rig.job(job).spent.epochs <= 24

    _at_once(rig, work)
    assert rig.job(job).state == "complete"
    ran = sum(len(trial.curve) for trial in rig.trials(job) if not trial.baseline)
    assert 24 - 5 < ran == rig.job(job).spent.epochs <= 24
    # What the pruned trials gave back has paid for others.
    assert len(rig.trials(job)) - 1 > 24 // 5


def test_workers_that_run_at_once_do_not_overshoot_the_seconds(rig: Rig) -> None:
    scales = [0.1 * i for i in range(1, 101)]
    job = rig.submit(protocol=Graduated(scale=scales), budget=Budget(seconds=100.0))

    def work(worker: str) -> None:
        while (lease := rig.try_claim(worker)) is not None:
            [piece] = lease.work
            if isinstance(piece, FinalWork):
                rig.report(lease, piece, final_report_of(piece))
                continue
            assert isinstance(piece, TrialWork)
            assert piece.seconds_limit is not None
            if piece.seconds_limit < 10.0:
                rig.end(lease, "pruned", 0.1, seconds=piece.seconds_limit)
            else:
                rig.complete(lease, 0.5, seconds=10.0)

    _at_once(rig, work)
    assert rig.job(job).state == "complete"
    assert 80.0 < rig.job(job).spent.seconds <= 100.0


def test_claims_and_reports_at_once_do_not_block_each_other(rig: Rig) -> None:
    jobs = [rig.submit(protocol=LastLayer(ll=[0.02, 0.05]), priority=i) for i in range(3)]

    def work(worker: str) -> None:
        while (lease := rig.try_claim(worker, max_trials=2)) is not None:
            for piece in lease.work:
                if isinstance(piece, FinalWork):
                    rig.report(lease, piece, final_report_of(piece))
                    continue
                rig.heartbeat(lease, {piece.id: [0.4]})
                rig.complete(lease, 0.5, work=piece)

    _at_once(rig, work)
    assert {rig.job(job).state for job in jobs} == {"complete"}


def test_claims_at_once_that_find_nothing_do_not_block_each_other(rig: Rig) -> None:
    jobs = [rig.submit(epochs=10, budget=Budget(epochs=10)) for _ in range(4)]
    for _ in range(2 * len(jobs)):
        rig.claim()  # now every job waits for its running trials

    def work(worker: str) -> None:
        for _ in range(4):
            assert rig.try_claim(worker) is None

    _at_once(rig, work)


def _claim_at_once(rig: Rig) -> Counter[tuple[str, int]]:
    """How often each trial (job, number) was given out, until nothing was left."""

    def work(worker: str) -> list[tuple[str, int]]:
        given = []
        while (lease := rig.try_claim(worker, max_trials=2)) is not None:
            given += [(_job(lease), number) for number in _numbers(lease)]
        return given

    return Counter(chain.from_iterable(_at_once(rig, work)))


def _at_once(rig: Rig, work: Callable[[str], Result]) -> list[Result]:
    """What `THREADS` workers gave that worked at the same time."""
    workers = [rig.worker() for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, workers))


def _numbers(lease: Lease) -> list[int]:
    return [work.number for work in lease.work if isinstance(work, TrialWork)]


def test_claims_that_come_together_get_different_trials_of_one_job(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=4))
    leases = rig.claim_together(*(rig.worker() for _ in range(4)))
    assert _jobs(leases) == [job.id] * 4
    numbers = [
        work.number
        for lease in leases
        if isinstance(lease, Lease)
        for work in lease.work
        if isinstance(work, TrialWork)
    ]
    assert numbers == [0, 1, 2, 3]
    assert len({lease.id for lease in leases if isinstance(lease, Lease)}) == 4


def test_claims_that_come_together_go_on_to_the_next_job_and_the_last_get_nothing(
    rig: Rig,
) -> None:
    first, second = (rig.submit(budget=Budget(trials=1)).id for _ in range(2))
    leases = rig.claim_together(*(rig.worker() for _ in range(5)))
    assert _jobs(leases) == [first, first, second, second, None]


def test_claims_of_two_kinds_of_device_that_come_together_get_work_for_theirs(rig: Rig) -> None:
    for_gpu, for_any = rig.submit(device="cuda").id, rig.submit().id
    leases = rig.claim_together(rig.worker("cpu"), rig.worker("cuda"), rig.worker("cpu"))
    assert _jobs(leases) == [for_any, for_gpu, for_any]


def test_owners_take_turns_among_claims_that_come_together(rig: Rig) -> None:
    ada, bob = _submitter("ada"), _submitter("bob")
    adas = {rig.submit(principal=ada).id for _ in range(3)}
    bobs = {rig.submit(principal=bob).id}
    jobs = _jobs(rig.claim_together(*(rig.worker() for _ in range(4))))
    assert sum(job in adas for job in jobs) == 2
    assert sum(job in bobs for job in jobs) == 2


def test_jobs_that_others_hold_for_a_moment_are_waited_for_in_their_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = _submitter("ada"), _submitter("bob")
    older, adas, bobs = (rig.submit(principal=who, priority=5).id for who in (ada, ada, bob))
    urgent = rig.submit(principal=bob, priority=9, budget=Budget(trials=1)).id
    monkeypatch.setattr(claims, "next_job", lambda *_, **__: None)  # all are held
    jobs = _jobs(rig.claim_together(*(rig.worker() for _ in range(6))))
    assert jobs[:2] == [urgent, urgent]
    # Two pieces of Bob's work run by then, and none of Ada's.
    assert jobs[2:] == [older, older, older, bobs]
    assert adas not in jobs


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_job_that_somebody_keeps_locked_is_not_waited_for_to_the_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "LONGEST_WAIT_SECONDS", 0.05)
    job, worker = rig.submit(), rig.worker()
    with rig.database.write() as session:
        assert lock_job(session, job.id) is not None
        assert rig.try_claim(worker) is None
    assert rig.try_claim(worker) is not None


def test_one_who_is_not_registered_does_not_hold_up_the_others(rig: Rig) -> None:
    rig.submit()
    stranger = "00000000-0000-7000-8000-000000000000"
    refused, lease = rig.claim_together(stranger, rig.worker())
    assert isinstance(refused, NotFoundError)
    assert refused.code == "worker_unknown"
    assert isinstance(lease, Lease)


def test_a_database_that_goes_away_takes_back_nothing_that_was_granted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (rig.submit(budget=Budget(trials=1)).id for _ in range(2))
    serve, away = claims._serve_next, OperationalError("SELECT", {}, Exception("it restarts"))
    served = [serve, Mock(side_effect=away)]
    monkeypatch.setattr(claims, "_serve_next", lambda *given: served.pop(0)(*given))
    answers = rig.claim_together(*(rig.worker() for _ in range(3)))
    assert _jobs(answers) == [first, first, None]
    assert answers[2] is away
    monkeypatch.undo()
    assert _jobs([rig.try_claim(), rig.try_claim(), rig.try_claim()]) == [second, second, None]


def test_a_job_that_has_nothing_to_give_is_asked_again_once_something_of_it_changes(
    rig: Rig,
) -> None:
    job = rig.submit(budget=Budget(epochs=2 * EPOCHS))
    _, first, second = (rig.claim() for _ in range(3))
    assert rig.try_claim() is None  # the budget is reserved
    rig.end(first, "pruned", 0.5)
    assert rig.try_claim() is None  # half of a trial's epochs is left over
    rig.end(second, "pruned", 0.5)
    assert _jobs([rig.try_claim(), rig.try_claim()]) == [job.id, None]
    rig.change(job, budget=Budget(epochs=3 * EPOCHS))
    assert _jobs([rig.try_claim(), rig.try_claim()]) == [job.id, None]


def test_a_baseline_has_its_seconds_before_others_that_are_claimed_with_it(rig: Rig) -> None:
    job = rig.submit(budget=Budget(seconds=100.0))
    baseline, second = rig.claim_together(rig.worker(), rig.worker())
    assert isinstance(baseline, Lease)
    [work] = baseline.work
    assert isinstance(work, TrialWork)
    assert (work.number, work.seconds_limit, second) == (0, 100.0, None)
    rig.complete(baseline, 0.5, seconds=40.0)
    [first] = rig.claim().work
    assert isinstance(first, TrialWork)
    assert first.seconds_limit == 60.0
    assert rig.job(job).spent.seconds == 40.0


def _job(lease: Lease) -> str:
    assert lease.task is not None
    return lease.task.job_id


def _submitter(owner: str) -> Principal:
    return Principal(key_id=None, owner=owner, scopes=frozenset({"submit"}))


def _jobs(leases: Sequence[object]) -> list[str | None]:
    """Whose work each lease is; None where nothing was granted."""
    return [
        lease.task.job_id if isinstance(lease, Lease) and lease.task else None for lease in leases
    ]
