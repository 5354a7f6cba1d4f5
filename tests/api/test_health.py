"""Health: what an orchestrator asks."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from lrsearch.api.app import create_app
from lrsearch.errors import UnavailableError
from lrsearch.settings import Settings
from tests.api.conftest import problem
from tests.api.serving import Api


def test_a_service_that_has_started_is_alive_and_ready(shared: Api) -> None:
    assert shared.get("/healthz").json() == {"status": "ok"}
    assert shared.get("/readyz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("engine_of", "table"),
    [
        (lambda api: api.service.database.engine, "jobs"),
        (lambda api: api.service.ledger.storage.engine, "studies"),
    ],
    ids=["our own", "the ledger's"],
)
def test_without_a_schema_it_is_alive_but_not_ready(
    api: Api, engine_of: Callable[[Api], Engine], table: str
) -> None:
    with renamed(engine_of(api), table, "gone"):
        assert api.get("/healthz").status_code == 200
        unready = problem(api.get("/readyz"), 503, "database_unavailable")
    assert "lrsearch db upgrade" in unready["remedy"]
    assert api.get("/readyz").status_code == 200


@contextmanager
def renamed(engine: Engine, table: str, other: str) -> Iterator[None]:
    def rename(old: str, new: str) -> None:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    rename(table, other)
    yield
    rename(other, table)


@pytest.mark.parametrize("empty_settings", ["postgres"], indirect=True)
def test_it_does_not_start_on_a_database_without_a_schema(empty_settings: Settings) -> None:
    with pytest.raises(UnavailableError, match="lrsearch db upgrade"):
        asyncio.run(started(empty_settings))


def test_it_does_not_start_without_its_database(tmp_path: Path) -> None:
    nobody = Settings(data_dir=tmp_path, database_url="postgresql://127.0.0.1:1/none")
    with pytest.raises(UnavailableError, match="LRSEARCH_DATABASE_URL"):
        asyncio.run(started(nobody))


async def started(settings: Settings) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        pass
