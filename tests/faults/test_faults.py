"""The fault suite in its short form; `make test-faults` runs it whole."""

from tests.faults.plan import SHORT
from tests.faults.suite import run


def test_no_fault_of_any_part_loses_doubles_or_holds_up_a_result() -> None:
    outcome = run(SHORT)
    assert outcome.faults == []
    assert outcome.figures["trials"] >= SHORT.jobs * SHORT.trials
    deeds = ("kills", "zombies", "database_restarts", "replica_kills", "disk_full_seconds", "cuts")
    assert all(outcome.figures[deed] > 0 for deed in deeds), outcome.figures
