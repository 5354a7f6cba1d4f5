"""A migrated database on a real PostgreSQL, and replicas of the service as processes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import psycopg

from lrsearch.db.engine import Database
from lrsearch.db.migrate import upgrade
from lrsearch.settings import Settings
from tests.api.samples import silhouettes, zip_of
from tests.postgres import new_database

DATA_SET = "animals"
"""Three labels of 60 images, so that the winner is tested on the test split."""

START_SECONDS = 120.0

SERVE = "from lrsearch.cli.main import app; app()"


@dataclass
class Installation:
    """What a run works on."""

    settings: Settings
    database: Database
    urls: list[str]
    """One of each replica."""
    replicas: list[psutil.Process]
    postmaster: psutil.Process | None
    """None where the server runs on another machine."""

    def cpu_seconds(self) -> dict[str, float]:
        """Processor seconds so far: of replicas, database, and us who play workers."""
        server = self.postmaster.children() if self.postmaster else []
        return {
            "service": sum(map(_cpu_seconds, self.replicas)),
            "database": sum(map(_cpu_seconds, server)),
            "fleet": _cpu_seconds(psutil.Process()),
        }


@contextmanager
def installed(server_url: str, replicas: int) -> Iterator[Installation]:
    """A new database with the data set, and so many replicas that answer."""
    with ExitStack() as at_end:
        url = at_end.enter_context(new_database(server_url))
        folder = Path(at_end.enter_context(TemporaryDirectory(prefix="lrsearch-bench-")))
        settings = Settings(data_dir=folder, database_url=url)
        upgrade(settings)
        database = Database(settings.database)
        at_end.callback(database.dispose)
        started = [at_end.enter_context(_replica(settings)) for _ in range(replicas)]
        urls = [url for url, _ in started]
        for each in urls:
            _until_it_answers(each)
        _add_data_set(urls[0])
        processes = [process for _, process in started]
        yield Installation(settings, database, urls, processes, _postmaster(url))


@contextmanager
def _replica(settings: Settings) -> Iterator[tuple[str, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    given = {
        "LRSEARCH_DATA_DIR": str(settings.data_dir),
        "LRSEARCH_DATABASE_URL": settings.database_url,
        "LRSEARCH_MAX_RUNNING_JOBS": "0",
        "LRSEARCH_MAX_REQUESTS_PER_SECOND": "0",
    }
    outside = {name: value for name, value in os.environ.items() if "LRSEARCH_" not in name}
    with (settings.data_dir / f"replica-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "serve", "--port", str(port)],
            env={**outside, **given},
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
        finally:
            process.kill()  # no more is wanted of it: its database goes next
            process.wait()


def _until_it_answers(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"the service at {url} did not answer within {START_SECONDS:g} s")


def _add_data_set(url: str) -> None:
    archive = zip_of(silhouettes(labels=3, images=60))
    with httpx.Client(base_url=url, timeout=60.0) as http:
        http.post("/v1/datasets", params={"name": DATA_SET}, content=archive).raise_for_status()
        while http.get(f"/v1/datasets/{DATA_SET}").raise_for_status().json()["state"] != "ready":
            time.sleep(0.1)


def _postmaster(url: str) -> psutil.Process | None:
    with psycopg.connect(url) as connection:
        try:
            return psutil.Process(connection.info.backend_pid).parent()
        except psutil.NoSuchProcess:
            return None


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
