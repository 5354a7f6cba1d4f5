"""Which tables a plan reads in full."""

import pytest
from sqlalchemy import select, text

from lrsearch.db.engine import Database
from lrsearch.db.tables import JobRow, TrialRow
from tests.benchmarks.service.plans import figures_of, scanned


def test_a_scan_is_found_in_whatever_node() -> None:
    plan = {
        "Node Type": "Hash Join",
        "Plans": [
            {"Node Type": "Parallel Seq Scan", "Relation Name": "jobs"},
            {
                "Node Type": "Hash",
                "Plans": [{"Node Type": "Index Scan", "Relation Name": "trials"}],
            },
        ],
    }
    assert scanned(plan) == ["jobs"]


@pytest.mark.parametrize("settings", ["postgres"], indirect=True)
def test_queries_are_explained_with_their_parameters(database: Database) -> None:
    def ask(*, by_index: bool) -> None:
        with database.read() as session:
            session.execute(text("SET enable_seqscan = off"))
            session.scalars(
                select(TrialRow).where(TrialRow.job_id == "a job") if by_index else select(JobRow)
            ).all()

    figures = figures_of(
        {"by index": lambda: ask(by_index=True), "in full": lambda: ask(by_index=False)}, database
    )
    assert figures["by index"] == {"queries": 1, "sequential_scans": []}
    [scan] = figures["in full"]["sequential_scans"]
    assert scan["tables"] == ["jobs"]
