"""What follows a transaction: it comes after the commit, and takes nothing back."""

import logging
from contextlib import suppress

import pytest

from lrsearch.db.engine import Database, after_commit


def test_what_follows_a_transaction_follows_only_what_is_committed(database: Database) -> None:
    done: list[str] = []
    with suppress(ConnectionError), database.write() as session:
        after_commit(session, lambda: done.append("rolled back"))
        raise ConnectionError
    with database.write() as session:
        after_commit(session, lambda: done.append("committed"))
        assert done == []
    assert done == ["committed"]


def test_where_it_fails_the_rest_follows_and_what_was_committed_is_answered(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("No space left on device")

    with database.write() as session:
        after_commit(session, fail)
        after_commit(session, lambda: done.append("committed"))
    assert done == ["committed"]
    [record] = caplog.get_records("call")
    assert (record.name, record.levelno) == ("lrsearch.db.engine", logging.ERROR)
    assert "No space left" in caplog.text
