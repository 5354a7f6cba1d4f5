import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lrsearch.cli.main import app
from lrsearch.keys import PREFIX


@pytest.fixture(autouse=True)
def _fresh_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path))
    assert run("db", "upgrade").exit_code == 0


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_upgrading_again_changes_nothing() -> None:
    assert "up to date" in run("db", "upgrade").output


def test_a_key_is_made_listed_and_revoked() -> None:
    made = run("keys", "create", "laboratory", "--scope", "worker", "--days", "30")
    assert made.stdout.startswith(PREFIX)
    listed = run("keys", "list").output
    assert "laboratory" in listed
    assert "worker" in listed
    assert made.stdout.strip() not in listed
    found = re.search(r"[0-9a-f-]{36}", listed)
    assert found is not None

    assert run("keys", "revoke", found.group()).exit_code == 0

    assert "revoked" in run("keys", "list").output


def test_an_unknown_scope_is_refused_with_those_there_are() -> None:
    done = run("keys", "create", "laboratory", "--scope", "everything")

    assert done.exit_code == 1
    assert "worker" in done.stderr


def test_an_unknown_key_cannot_be_revoked() -> None:
    done = run("keys", "revoke", "unheard-of")

    assert done.exit_code == 1
    assert "There is no API key unheard-of" in done.stderr


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LRSEARCH_DATABASE_URL", "postgresql://me:secret@127.0.0.1:9/lrsearch")

    for command in (("db", "upgrade"), ("keys", "list")):
        done = run(*command)

        assert done.exit_code == 2
        assert "127.0.0.1:9/lrsearch cannot be used" in done.stderr
        assert "secret" not in done.stderr
