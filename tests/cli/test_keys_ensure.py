"""`lrsearch keys ensure`: a file that holds a key which the service admits."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lrsearch.access.keys import authenticate, create_key, list_keys, revoke_key
from lrsearch.cli.main import app
from lrsearch.contract.keys import Key, KeyRequest
from lrsearch.db.engine import Database
from lrsearch.db.tables import Table
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


def keys(database: Database) -> list[Key]:
    with database.read() as session:
        return list_keys(session, None, limit=9).items


def test_a_missing_file_is_written_with_a_key_that_is_admitted(
    database: Database, file: Path
) -> None:
    assert scopes(database, ensure(file)) == {"worker"}
    assert [(key.name, key.owner) for key in keys(database)] == [("worker", "worker")]


def test_the_file_is_readable_by_its_owner_alone(database: Database, file: Path) -> None:
    ensure(file)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(database: Database, file: Path) -> None:
    secret = ensure(file)
    assert ensure(file) == secret
    assert len(keys(database)) == 1


def test_a_key_that_another_database_knew_is_admitted_by_this_one(
    database: Database, file: Path
) -> None:
    file.parent.mkdir()
    earlier = "lrs_made-for-a-database-that-is-gone"
    file.write_text(f"{earlier}\n", encoding="utf-8")
    assert ensure(file) == earlier
    assert scopes(database, earlier) == {"worker"}


def test_a_secret_that_could_be_guessed_is_not_admitted(database: Database, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("lrs_password", encoding="utf-8")
    result = CliRunner().invoke(app, ["keys", "ensure", str(file)])
    assert result.exit_code == 1
    assert "32 characters or more" in result.output
    assert keys(database) == []


def test_a_revoked_key_is_replaced(database: Database, file: Path) -> None:
    revoked = ensure(file)
    with database.write() as session:
        revoke_key(session, revoked[:12])
    secret = ensure(file)
    assert secret != revoked
    assert scopes(database, secret) == {"worker"}


def test_a_key_that_may_do_less_is_replaced(database: Database, file: Path) -> None:
    with database.write() as session:
        reader = create_key(session, KeyRequest(name="reader", scopes=["read"])).secret
    file.parent.mkdir()
    file.write_text(reader, encoding="utf-8")
    assert scopes(database, ensure(file)) == {"worker"}


def test_an_unknown_scope_is_refused_and_no_file_is_written(database: Database, file: Path) -> None:
    result = CliRunner().invoke(app, ["keys", "ensure", str(file), "--scope", "root"])
    assert result.exit_code == 2
    assert "'read', 'submit', 'worker' or 'admin'" in result.output
    assert not file.exists()
