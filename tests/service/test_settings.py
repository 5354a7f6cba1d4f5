"""Where the service's settings say that its database is."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from pydantic import ValidationError
from sqlalchemy import make_url

from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from tests.postgres import new_database

PASSWORD = " p@ss:w/o%rd {0}'\"?#ü"  # noqa: S105 - a URL, Optuna and Alembic each quote differently


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    return file


def test_the_password_file_stands_above_the_urls_password(
    password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRSEARCH_DATABASE_URL", "postgresql://me:another@db/lrsearch")
    assert Settings().database.password == "another"  # noqa: S105
    monkeypatch.setenv("LRSEARCH_DATABASE_PASSWORD_FILE", str(password_file))
    settings = Settings()
    assert settings.database.password == settings.ledger.password == PASSWORD
    assert (settings.database.username, settings.database.host) == ("me", "db")


@pytest.fixture
def own_url(postgres_url: str) -> Iterator[str]:
    """URL, without a password, of a database that belongs to a role with `PASSWORD`."""
    name = f"lrsearch_owner_{uuid4().hex}"
    role = sql.Identifier(name)
    with psycopg.connect(postgres_url, autocommit=True) as server:
        make = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        server.execute(make.format(role, sql.Literal(PASSWORD)))
        with new_database(postgres_url) as made:
            url = make_url(made)
            give = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            server.execute(give.format(sql.Identifier(str(url.database)), role))
            yield url.set(username=name, password=None).render_as_string()
        server.execute(sql.SQL("DROP ROLE {}").format(role))


def test_tables_and_studies_are_made_and_opened_with_it(
    own_url: str, password_file: Path, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path, database_url=own_url, database_password_file=password_file
    )
    upgrade(settings)
    database, ledger = Database(settings.database), Ledger(settings.ledger)
    assert [engine.url.password for engine in (database.engine, ledger.storage.engine)] == [
        PASSWORD,
        PASSWORD,
    ]
    ledger.storage.engine.dispose()
    database.dispose()


def test_a_password_file_without_a_password_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name, wrong in (("empty", "is empty"), ("absent", "cannot be read")):
        with pytest.raises(ValidationError, match=f"database_password_file: .*{name}' {wrong}"):
            Settings(
                database_url="postgresql://lrsearch@db/lrsearch",
                database_password_file=tmp_path / name,
            )


@pytest.mark.parametrize("url", ["", "sqlite:///lrsearch.db"])
def test_a_password_for_sqlite_is_an_error(password_file: Path, url: str) -> None:
    with pytest.raises(ValidationError, match=r"SQLite takes no password; set database_url"):
        Settings(database_url=url, database_password_file=password_file)


def test_an_empty_name_of_a_password_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSEARCH_DATABASE_PASSWORD_FILE", "")
    assert Settings().database_password_file is None


@pytest.mark.parametrize("url", ["secret", "postgresql://lrsearch:secret@db:port/lrsearch"])
def test_what_is_no_url_of_a_database_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(ValidationError, match=r"database_url\n.*is no database's URL") as refused:
        Settings(database_url=url)
    assert "secret" not in str(refused.value)


def test_no_password_is_shown(password_file: Path) -> None:
    url = "postgresql://lrsearch:secret@db/lrsearch"
    assert "secret" not in repr(Settings(database_url=url))
    settings = Settings(database_url=url, database_password_file=password_file)
    assert PASSWORD not in f"{settings!r} {settings.database} {settings.ledger}"
    with pytest.raises(ValidationError) as refused:
        Settings(database_url=url, port=-1)
    assert "secret" not in str(refused.value)
