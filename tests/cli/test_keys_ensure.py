"""`lrsearch keys ensure`: a file that holds a key which the service admits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrsearch.cli.main import app
from lrsearch.db.engine import Database
from lrsearch.db.tables import Table
from lrsearch.keys import authenticate, create_key, list_keys, revoke_key
from lrsearch.settings import Settings


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "service"))
    database = Database(Settings().database)
    Table.metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "worker.key"


def ensure(file: Path) -> str:
    """Runs the command for a worker's key; returns the secret in the file."""
    result = CliRunner().invoke(app, ["keys", "ensure", str(file), "--scope", "worker"])
    assert result.exit_code == 0, result.output
    return file.read_text(encoding="utf-8").strip()


def scopes(database: Database, secret: str) -> frozenset[str]:
    with database.read() as session:
        return authenticate(session, secret).scopes


def test_a_missing_file_is_written_with_a_key_that_is_admitted(
    database: Database, file: Path
) -> None:
    assert scopes(database, ensure(file)) == {"worker"}
    with database.read() as session:
        assert [key.name for key in list_keys(session)] == ["worker"]


def test_the_file_is_readable_by_its_owner_alone(database: Database, file: Path) -> None:
    ensure(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(database: Database, file: Path) -> None:
    secret = ensure(file)
    assert ensure(file) == secret
    with database.read() as session:
        assert len(list_keys(session)) == 1


def test_a_key_that_another_database_knew_is_admitted_by_this_one(
    database: Database, file: Path
) -> None:
    file.parent.mkdir()
    file.write_text("lrs_of-an-earlier-database\n", encoding="utf-8")
    assert ensure(file) == "lrs_of-an-earlier-database"
    assert scopes(database, "lrs_of-an-earlier-database") == {"worker"}


def test_a_revoked_key_is_replaced(database: Database, file: Path) -> None:
    revoked = ensure(file)
    with database.write() as session:
        revoke_key(session, list_keys(session)[0].id)
    secret = ensure(file)
    assert secret != revoked
    assert scopes(database, secret) == {"worker"}


def test_a_key_that_may_do_less_is_replaced(database: Database, file: Path) -> None:
    with database.write() as session:
        reader = create_key(session, "reader", ["read"])
    file.parent.mkdir()
    file.write_text(reader, encoding="utf-8")
    assert scopes(database, ensure(file)) == {"worker"}


def test_an_unknown_scope_is_refused_and_no_file_is_written(database: Database, file: Path) -> None:
    result = CliRunner().invoke(app, ["keys", "ensure", str(file), "--scope", "root"])
    assert result.exit_code == 1
    assert "choose one or more of read, submit, worker, admin" in result.output
    assert not file.exists()
