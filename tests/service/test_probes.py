"""A job's probe: goes out with the baseline, is kept with the job, and holds nothing up."""

import pytest
from structlog.testing import capture_logs

from lrsearch.contract.events import JobFinished, ProbeFinished
from lrsearch.contract.leases import (
    FailedReport,
    FinalWork,
    Lease,
    ProbeReport,
    ProbeWork,
    TrialReport,
    TrialWork,
)
from lrsearch.contract.protocols import LastLayer
from lrsearch.errors import ConflictError, InvalidError
from tests.probes import a_probe
from tests.service.rig import Rig, curve, final_report_of

ONE_POINT = LastLayer(ll=[0.02])
"""A search of the baseline and one trial."""


def probe_of(lease: Lease) -> ProbeWork:
    """The probe among a lease's work."""
    (work,) = [work for work in lease.work if isinstance(work, ProbeWork)]
    return work


def kinds(lease: Lease) -> list[str]:
    return [work.kind for work in lease.work]


@pytest.mark.parametrize("max_trials", [1, 4])
def test_it_goes_out_with_the_baseline(rig: Rig, max_trials: int) -> None:
    rig.submit(probe=True)
    lease = rig.claim(max_trials=max_trials)
    assert kinds(lease) == ["probe", "trial"]
    assert isinstance(lease.work[1], TrialWork)
    assert lease.work[1].baseline
    assert lease.task is not None
    assert kinds(rig.claim()) == ["trial"]  # another worker need not wait for either


def test_what_it_has_found_is_kept_with_the_job_and_told(rig: Rig) -> None:
    job = rig.submit(probe=True)
    assert rig.job(job).probe is None
    lease = rig.claim()
    found = a_probe(linear_top1=0.8, knn_top1=None)
    rig.report(lease, probe_of(lease), ProbeReport(probe=found))
    assert rig.job(job).probe == found
    assert rig.events(job)[-1].body == ProbeFinished(probe=found, reason=None)
    rig.complete(lease, 0.5)
    with pytest.raises(ConflictError, match="all its work is reported"):
        rig.heartbeat(lease, {})


def test_the_same_report_again_gets_the_same_reply_and_another_is_refused(rig: Rig) -> None:
    job = rig.submit(probe=True)
    lease = rig.claim()
    report = ProbeReport(probe=a_probe())
    for _ in range(2):
        assert rig.report(lease, probe_of(lease), report).accepted
    with pytest.raises(ConflictError) as caught:
        rig.report(lease, probe_of(lease), ProbeReport(probe=a_probe(seconds=9.0)))
    assert caught.value.code == "report_conflict"
    assert [e.body.type for e in rig.events(job)] == ["trial_started", "probe_finished"]


def test_one_that_fails_leaves_its_reason_and_the_job_goes_on(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=ONE_POINT)
    lease = rig.claim()
    with capture_logs() as logs:
        rig.report(lease, probe_of(lease), FailedReport(reason="out of memory"))
    assert ("probe failed", "out of memory") in [(e["event"], e["reason"]) for e in logs]
    assert rig.events(job)[-1].body == ProbeFinished(probe=None, reason="out of memory")
    rig.complete(lease, 0.5)
    rig.run()
    assert (rig.job(job).state, rig.job(job).probe) == ("complete", None)


def test_a_lost_lease_puts_it_back_and_too_many_give_it_up(rig: Rig) -> None:
    job = rig.submit(probe=True)
    first = rig.claim()
    rig.complete(first, 0.5)
    rig.lose(first)
    for _ in range(rig.settings.max_attempts - 1):
        again = rig.claim()
        assert kinds(again) == ["probe"]
        rig.lose(again)
    assert kinds(rig.claim()) == ["trial"]
    (event,) = [e.body for e in rig.events(job) if isinstance(e.body, ProbeFinished)]
    assert event.probe is None
    assert event.reason is not None
    assert event.reason.startswith(f"lost {rig.settings.max_attempts} times")


def test_one_that_was_handed_back_is_another_workers(rig: Rig) -> None:
    job = rig.submit(probe=True)
    lease = rig.claim()
    rig.release(lease)
    again = rig.claim()
    assert [work.id for work in again.work] == [work.id for work in lease.work]
    rig.report(again, probe_of(again), ProbeReport(probe=a_probe()))
    assert rig.job(job).probe == a_probe()


def test_a_heartbeat_has_a_directive_for_it(rig: Rig) -> None:
    job = rig.submit(probe=True)
    lease = rig.claim()
    work = probe_of(lease)
    assert rig.heartbeat(lease, {}).directives == {w.id: "continue" for w in lease.work}
    with pytest.raises(InvalidError, match="no trial"):
        rig.heartbeat(lease, {work.id: [0.5]})
    rig.cancel(job.id)
    assert rig.heartbeat(lease, {}).directives[work.id] == "cancel"


def test_one_that_waits_does_not_go_out_with_the_final_test(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=ONE_POINT)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    rig.complete(rig.claim(), 0.6)
    rig.lose(lease)
    final = rig.claim(max_trials=8)
    assert kinds(final) == ["final"]
    assert kinds(rig.claim()) == ["probe"]
    assert isinstance(final.work[0], FinalWork)
    rig.report(final, final.work[0], final_report_of(final.work[0]))
    assert rig.job(job).state == "complete"


def test_a_job_ends_without_one_that_still_waits(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=ONE_POINT)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    rig.complete(rig.claim(), 0.6)
    rig.lose(lease)
    final = rig.claim()
    assert isinstance(final.work[0], FinalWork)
    rig.report(final, final.work[0], final_report_of(final.work[0]))
    assert rig.job(job).state == "complete"
    assert rig.try_claim() is None
    assert rig.events(job)[-1].body == JobFinished(state="complete", reason=None)


def test_a_job_ends_without_one_that_is_still_made_and_its_worker_is_told(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=ONE_POINT)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    rig.run()
    assert rig.job(job).state == "complete"
    assert rig.heartbeat(lease, {}).directives[probe_of(lease).id] == "cancel"
    with pytest.raises(ConflictError) as caught:
        rig.report(lease, probe_of(lease), ProbeReport(probe=a_probe()))
    assert caught.value.code == "lease_lost"
    assert rig.job(job).probe is None
    assert rig.events(job)[-1].body.type == "job_finished"


def test_one_that_ends_last_before_the_final_test_counts(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=ONE_POINT)
    lease = rig.claim()
    rig.complete(lease, 0.5)
    rig.complete(rig.claim(), 0.6)
    assert rig.job(job).state == "finalising"
    rig.report(lease, probe_of(lease), ProbeReport(probe=a_probe()))
    rig.run()
    assert (rig.job(job).state, rig.job(job).probe) == ("complete", a_probe())


def test_a_job_without_a_score_fails_while_its_probe_is_made(rig: Rig) -> None:
    job = rig.submit(probe=True, protocol=LastLayer(ll=[0.01]))
    lease = rig.claim()
    rig.report(
        lease,
        lease.work[1],
        TrialReport(outcome="diverged", reason="NaN", curve=curve(), seconds=1.0),
    )
    assert rig.job(job).state == "failed"
    with pytest.raises(ConflictError):
        rig.report(lease, probe_of(lease), ProbeReport(probe=a_probe()))


def test_a_report_must_be_of_its_kind(rig: Rig) -> None:
    rig.submit(probe=True)
    lease = rig.claim()
    with pytest.raises(InvalidError, match="'probe' work wants a report of its kind"):
        rig.report(
            lease, probe_of(lease), TrialReport(outcome="failed", curve=curve(), seconds=1.0)
        )
