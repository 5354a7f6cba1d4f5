"""A job's request is read once, and again where it has changed."""

from lrsearch.contract.budgets import Budget
from lrsearch.db.tables import JobRow
from lrsearch.jobs import requests
from lrsearch.jobs.requests import MOST_REMEMBERED, request_of
from tests.service.rig import Rig, one_database


@one_database
def test_a_request_that_is_as_it_was_is_not_read_again(rig: Rig) -> None:
    job = rig.submit()
    assert request_of(_row(rig, job.id)) is request_of(_row(rig, job.id))


@one_database
def test_a_changed_budget_is_seen_at_once(rig: Rig) -> None:
    job = rig.submit(budget=Budget(trials=3))
    assert request_of(_row(rig, job.id)).budget.trials == 3
    rig.change(job, budget=Budget(trials=2))
    assert request_of(_row(rig, job.id)).budget.trials == 2


@one_database
def test_no_more_requests_are_remembered_than_the_limit(rig: Rig) -> None:
    row = _row(rig, rig.submit().id)
    for number in range(2 * MOST_REMEMBERED):
        row.id = str(number)
        assert request_of(row).data_set
        assert len(requests._known) <= MOST_REMEMBERED


def _row(rig: Rig, job_id: str) -> JobRow:
    with rig.database.read() as session:
        row = session.get_one(JobRow, job_id)
        session.expunge(row)
        return row
