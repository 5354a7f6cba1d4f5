"""Workers."""

from fastapi import APIRouter, status

from lrsearch.access import audit
from lrsearch.api.routes.parameters import Cursor, Limit
from lrsearch.api.security import Reader, WorkerKey
from lrsearch.api.service import Running
from lrsearch.contract.pages import Page
from lrsearch.contract.workers import Worker, WorkerRegistration
from lrsearch.leasing import workers

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.post("", status_code=status.HTTP_201_CREATED)
def register_worker(
    registration: WorkerRegistration, service: Running, principal: WorkerKey
) -> Worker:
    """Say that a worker starts; its id goes with every claim."""
    with service.database.write() as session:
        worker = workers.register_worker(session, registration)
    audit.record(principal, "register_worker", worker=worker.id, name=worker.name)
    return worker


@router.get("")
def list_workers(
    service: Running, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> Page[Worker]:
    """Workers, the newest first."""
    with service.database.read() as session:
        return workers.list_workers(session, cursor, limit)
