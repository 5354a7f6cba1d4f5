"""A service on a real socket of this machine, in a thread of its own."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from lrsearch.access.keys import create_key
from lrsearch.api.app import create_app
from lrsearch.api.service import Service
from lrsearch.contract.keys import KeyRequest
from lrsearch.db.engine import Database
from lrsearch.settings import Settings


class Api(httpx.Client):
    """A client of a running service, and what a test may look at behind it."""

    def __init__(self, app: FastAPI, settings: Settings, port: int) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{port}", timeout=30.0)
        self.app, self.settings, self.port = app, settings, port

    @property
    def service(self) -> Service:
        """The parts of the replica."""
        service: Service = self.app.state.service
        return service

    def stored_files(self) -> set[str]:
        """Names of all files that uploads have left: blobs, checkpoints and drafts."""
        folders = [self.settings.data_dir / name for name in ("blobs", "checkpoints", "incoming")]
        return {path.name for folder in folders for path in folder.rglob("*") if path.is_file()}


@contextmanager
def serving(settings: Settings) -> Iterator[Api]:
    """The service with these settings, listening on loopback whatever their host."""
    app = create_app(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=5)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            server.ready.wait()
            assert server.started, "the service did not start"
            with Api(app, settings, listener.getsockname()[1]) as api:
                yield api
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def guarding(settings: Settings) -> Iterator[Api]:
    """The service with settings that demand keys, of which there is one."""
    database = Database(settings.database)
    with database.write() as session:
        create_key(session, KeyRequest(name="first", scopes=["admin"]))
    database.dispose()
    with serving(settings) as api:
        yield api


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()
