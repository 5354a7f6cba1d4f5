"""Rows that are only added are there with the transaction that adds them, or not at all."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from lrsearch.contract.rates import StageRates
from lrsearch.db.appending import append_row
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import JobRow, OutboxRow, WorkerRow
from lrsearch.jobs.trials import add_trial
from tests.service.rig import Rig


def test_what_is_appended_is_there_after_the_transaction(rig: Rig) -> None:
    job = rig.submit()
    before = _count(rig.database, OutboxRow)
    with rig.database.write() as session:
        for _ in range(3):
            _append_entry(session, job.id)
    assert _count(rig.database, OutboxRow) == before + 3
    with rig.database.read() as session:
        entries = session.scalars(select(OutboxRow)).all()
    assert len({entry.id for entry in entries}) == before + 3
    assert all(entry.created_at is not None for entry in entries)


def test_what_is_appended_is_written_behind_the_rows_that_it_refers_to(rig: Rig) -> None:
    job = rig.submit()
    with rig.database.write() as session:
        row = session.get_one(JobRow, job.id)
        rates = StageRates(conv1=0, conv2=0, conv3=0, conv4=0, conv5=0, head=0.01)
        trial, _ = add_trial(session, row, 1, {}, rates)
        append_row(session, OutboxRow, job_id=job.id, trial_id=trial.id, attempts=0)
    with rig.database.read() as session:
        assert trial.id in set(session.scalars(select(OutboxRow.trial_id)))


def test_a_query_sees_what_was_appended_beside_other_changes(rig: Rig) -> None:
    job = rig.submit()
    with rig.database.write() as session:
        before = session.scalar(select(func.count()).select_from(OutboxRow))
        _append_entry(session, job.id)
        session.add(_worker(session))
        assert session.scalar(select(func.count()).select_from(OutboxRow)) == (before or 0) + 1


def test_nothing_of_a_transaction_that_fails_is_there(rig: Rig) -> None:
    job = rig.submit()
    before = _count(rig.database, OutboxRow)
    with pytest.raises(DBAPIError):
        _append_and_fail(rig.database, job.id)
    assert _count(rig.database, OutboxRow) == before


def _append_and_fail(database: Database, job_id: str) -> None:
    with database.write() as session:
        _append_entry(session, job_id)
        session.add(_worker(session))
        session.flush()
        _append_entry(session, "nobody's")


def _append_entry(session: Session, job_id: str) -> None:
    append_row(session, OutboxRow, job_id=job_id, trial_id=None, attempts=0)


def _worker(session: Session) -> WorkerRow:
    now = database_now(session)
    return WorkerRow(
        id="w", name="w", device={"kind": "cpu"}, versions={}, registered_at=now, seen_at=now
    )


def _count(database: Database, table: type[OutboxRow]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0
