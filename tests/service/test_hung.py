"""A replica that hangs, or whose machine is gone, while it holds locks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lrsearch.contract.budgets import Budget
from lrsearch.contract.leases import ReportReply, TrialReport
from lrsearch.db.engine import Database, waited_in_vain
from lrsearch.jobs.jobs import lock_job
from lrsearch.leasing import reports
from lrsearch.leasing.reports import Sent
from lrsearch.settings import Settings
from tests.service.rig import Rig

LOCK = text("LOCK TABLE jobs IN EXCLUSIVE MODE")


def test_a_transaction_that_hangs_keeps_others_out_only_for_a_while(
    migrated_postgres: Settings,
) -> None:
    hung = Database(migrated_postgres.database, hung_seconds=0.05)
    other = Database(migrated_postgres.database)
    with hung.read() as session:
        session.execute(LOCK)
        with other.write() as another:
            another.execute(LOCK)  # waits until the server has ended the one that hangs
        with pytest.raises(DBAPIError):
            session.execute(LOCK)
    with hung.read() as session:  # it comes back
        session.execute(LOCK)
    hung.dispose()
    other.dispose()


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_a_job_that_somebody_keeps_locked_holds_up_only_the_reports_on_it(rig: Rig) -> None:
    impatient = Database(rig.settings.database, locked_seconds=0.05)
    locked, free = (rig.submit(budget=Budget(trials=1)) for _ in range(2))
    failed = TrialReport(outcome="failed", reason="no memory", curve=[], seconds=1.0)
    claimed = [rig.claim() for _ in range(3)]  # the baseline and the trial of the one, and then
    leases = {lease.task.job_id: lease for lease in claimed if lease.task}
    sent = [
        Sent(leases[job.id].id, leases[job.id].token, leases[job.id].work[-1].id, failed)
        for job in (locked, free)
    ]
    with rig.database.write() as session:
        assert lock_job(session, locked.id) is not None
        refused, taken = reports.take_reports(impatient, sent)
    assert isinstance(refused, Exception)
    assert waited_in_vain(refused)
    assert isinstance(taken, ReportReply)
    [taken_now] = reports.take_reports(impatient, sent[:1])
    assert isinstance(taken_now, ReportReply)
    impatient.dispose()
