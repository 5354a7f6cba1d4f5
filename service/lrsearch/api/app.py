"""The ASGI application: `create_app(settings)`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import structlog
from anyio.to_thread import run_sync
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import DBAPIError

from lrsearch.access.keys import any_key
from lrsearch.api.dashboard import dashboard
from lrsearch.api.gate import Gate
from lrsearch.api.headers import SecurityHeaders
from lrsearch.api.openapi import describe
from lrsearch.api.problems import PROBLEM_RESPONSES, install_error_handlers
from lrsearch.api.routes import (
    blobs,
    data_sets,
    health,
    jobs,
    keys,
    leases,
    metrics,
    recommendations,
    source_models,
    workers,
)
from lrsearch.api.security import BodyLimit, LoopbackGuard
from lrsearch.api.service import Bell, Service
from lrsearch.api.telemetry import Measured, name_in_log
from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.errors import UnavailableError
from lrsearch.leasing.checkpoints import checkpoint_store
from lrsearch.search.ledger import Ledger
from lrsearch.settings import Settings
from lrsearch.store import BlobStore
from lrsearch.upkeep.housekeeping import Housekeeping

log = structlog.get_logger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service as an ASGI application.

    An SQLite database is brought to the present schema at the start; PostgreSQL wants
    `lrsearch db upgrade` before, once for all replicas.
    """
    chosen = settings or Settings()
    app = FastAPI(
        title="lrsearch",
        summary="Finds the learning rates for finetuning a pretrained image classifier.",
        version=version("lrsearch"),
        lifespan=lambda app: _lifespan(app, chosen),
        responses=PROBLEM_RESPONSES,
        redirect_slashes=False,
        dependencies=[Depends(name_in_log)],
    )
    install_error_handlers(app)
    app.add_middleware(Measured)
    app.add_middleware(BodyLimit, max_bytes=chosen.max_body_bytes)
    if not chosen.keys_required:
        app.add_middleware(LoopbackGuard)
    app.add_middleware(SecurityHeaders)
    # The first is asked most often: routes are looked through in this order.
    nouns = (leases, data_sets, source_models, jobs, recommendations, workers, blobs, keys)
    for router in (*nouns, health, metrics):
        app.include_router(router.router)
    describe(app, keys_required=chosen.keys_required)
    return app


def prepare(settings: Settings) -> None:
    """Bring an SQLite database to the present schema, and see that the service can start.

    Raises:
        UnavailableError: the database does not answer or has no schema, or keys are demanded and
            there is none.
    """
    database = Database(settings.database)
    try:
        if database.is_sqlite:
            upgrade(settings)
        _require_schema(settings)
        if settings.keys_required:
            _require_key(database, settings)
    finally:
        database.dispose()


@asynccontextmanager
async def _lifespan(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    await run_sync(prepare, settings)
    database = Database(settings.database)
    try:
        store = BlobStore(settings.data_dir)
        ledger = await run_sync(Ledger, settings.ledger)
        gate = Gate(database, settings)
        housekeeping = Housekeeping(settings, database, store, ledger)
        app.state.service = Service(
            settings,
            database,
            store,
            checkpoint_store(settings.data_dir),
            ledger,
            housekeeping,
            gate,
            Bell(),
        )
        app.router.routes.append(dashboard(settings, gate, ledger))
        housekeeping.start()
        gc.freeze()  # what is there now stays; to look it through takes a tenth of a second
        log.info("service started", database=database.url.render_as_string(hide_password=True))
        try:
            yield
        finally:
            await run_sync(housekeeping.stop)
            ledger.storage.engine.dispose()
            log.info("service stopped")
    finally:
        database.dispose()


def _require_schema(settings: Settings) -> None:
    """Raise `UnavailableError` where the ledger's tables, the last that are made, are not there."""
    engine = create_engine(settings.ledger)
    try:
        found = inspect(engine).has_table("studies")
    except DBAPIError as error:
        raise UnavailableError(
            detail=f"The database cannot be used: {str(error.orig).splitlines()[0]}.",
            remedy="See that it runs, and that LRSEARCH_DATABASE_URL and "
            "LRSEARCH_DATABASE_PASSWORD_FILE are right.",
            code="database_unavailable",
        ) from error
    finally:
        engine.dispose()
    if not found:
        raise UnavailableError(
            detail="The database has no schema.",
            remedy="Create it: lrsearch db upgrade.",
            code="database_unavailable",
        )


def _require_key(database: Database, settings: Settings) -> None:
    """Raise `UnavailableError` where nobody would be let in."""
    with database.read() as session:
        if any_key(session):
            return
    why = "is set to demand" if settings.on_loopback else f"listens on {settings.host} and demands"
    raise UnavailableError(
        detail=f"The service {why} API keys, and there is no key that is good.",
        remedy="Make one: lrsearch keys create admin --scope admin.",
        code="no_keys",
    )
