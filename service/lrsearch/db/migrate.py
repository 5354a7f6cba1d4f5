"""Bringing the databases to the present schema: ours by Alembic, Optuna's by Optuna."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, text

import lrsearch
from lrsearch.db.engine import Database
from lrsearch.search.ledger import open_storage
from lrsearch.settings import Settings
from lrsearch.source_models import install_shipped_models
from lrsearch.store import BlobStore

VERSION_TABLE = "lrsearch_alembic_version"
"""Not Alembic's default: Optuna stamps that one."""

LOCK_KEY = 0x6C72_7365_6172_6368  # "lrsearch"

ONE_ENTRY = """
CREATE UNIQUE INDEX IF NOT EXISTS lrsearch_one_entry
ON trial_user_attributes (value_json) WHERE key = 'trial_id'
"""
"""On Optuna's table: a trial of ours has one entry, whatever is tried twice or side by side."""


def upgrade(settings: Settings) -> None:
    """Create or upgrade all tables, and install the shipped source models.

    May run any number of times, and in several processes at once: one works, the others wait.
    """
    database = Database(settings.database, locked_seconds=0.0)  # another's upgrade may take minutes
    try:
        with _alone(database):
            with database.engine.begin() as connection:
                command.upgrade(alembic_config(connection), "head")
                if not database.is_sqlite:
                    connection.execute(text("CREATE SCHEMA IF NOT EXISTS optuna"))
            _upgrade_ledger(settings)
            install_shipped_models(database, BlobStore(settings.data_dir))
    finally:
        database.dispose()


def _upgrade_ledger(settings: Settings) -> None:
    root = logging.getLogger()
    if not root.handlers:  # else Optuna's migrations configure logging anew and silence everybody
        root.addHandler(logging.NullHandler())
    storage = open_storage(settings.ledger, create=True)
    storage.upgrade()
    with storage.engine.begin() as connection:
        connection.execute(text(ONE_ENTRY))
    if storage.engine.dialect.name == "sqlite":
        with storage.engine.connect() as connection:  # whoever reads holds up nobody who writes
            connection.execute(text("PRAGMA journal_mode=WAL"))
    storage.engine.dispose()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a connection that is open already."""
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _migrations() -> Path:
    """In a wheel beside the code; in a checkout the folder `alembic` at its top."""
    package = Path(lrsearch.__file__).parent
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent.parent / "alembic"


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """Hold off other processes that upgrade the same database."""
    if database.is_sqlite:
        with FileLock(f"{database.url.database}.upgrade.lock"):
            yield
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
