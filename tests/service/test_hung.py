"""A replica that hangs, or whose machine is gone, while it holds locks."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lrsearch.db.engine import Database
from lrsearch.settings import Settings

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
