"""Whether the service lives, and whether it can serve."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from lrsearch.api.service import Running
from lrsearch.db.tables import JobRow
from lrsearch.errors import UnavailableError
from lrsearch.search.ledger import Ledger

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It answers."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz")
def readyz(service: Running) -> Health:
    """The databases answer, and their schemas are there; else 503."""
    try:
        with service.database.read() as session:
            session.execute(select(JobRow.id).limit(1))
        _ask(service.ledger)
    except DBAPIError as error:
        raise UnavailableError(
            detail="The database does not answer, or its schema is not there.",
            remedy="See that it runs, then create its schema: lrsearch db upgrade.",
            code="database_unavailable",
        ) from error
    return Health()


def _ask(ledger: Ledger) -> None:
    with ledger.storage.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1 FROM studies LIMIT 1")
