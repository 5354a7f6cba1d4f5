"""The database's clock."""

from lrsearch.db.engine import Database, database_now


def test_a_transaction_reads_the_clock_once_and_the_next_one_anew(database: Database) -> None:
    with database.write() as session:
        first = database_now(session)
        with session.begin_nested():
            assert database_now(session) == first
        assert database_now(session) == first
    with database.read() as session:
        assert database_now(session) >= first


def test_a_session_that_begins_another_transaction_reads_the_clock_anew(
    database: Database,
) -> None:
    with database.read() as session:
        first = database_now(session)
        session.rollback()
        second = database_now(session)
        session.rollback()
        assert second >= first
        assert database_now(session) >= second
        assert session.in_transaction()  # a clock that was kept would ask nothing
