"""A real service and real worker processes, on real images."""

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import pytest

from lrsearch.client import Client
from lrsearch.embedded import Embedded
from lrsearch.settings import Settings

LABELS = ("bear", "bird", "cat")
IMAGES_PER_LABEL = 60

StartWorker = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """An archive of 180 real silhouettes with three labels."""
    sample = zipfile.ZipFile(
        io.BytesIO(files("lrsearch").joinpath("samples/silhouettes.zip").read_bytes())
    )
    archive = tmp_path / "animals.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for label in LABELS:
            names = sorted(n for n in sample.namelist() if n.startswith(f"{label}/"))
            for name in [n for n in names if n.endswith(".png")][:IMAGES_PER_LABEL]:
                out.writestr(name, sample.read(name))
    return archive


@pytest.fixture
def service(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    """A service without workers whose leases last two seconds, on each of the databases."""
    monkeypatch.setenv("LRSEARCH_LEASE_SECONDS", "2")
    if settings.database_url:
        monkeypatch.setenv("LRSEARCH_DATABASE_URL", settings.database_url)
    with Embedded(settings.data_dir, port=0, workers=0) as embedded:
        yield embedded


@pytest.fixture
def client(service: Embedded) -> Iterator[Client]:
    """A client of the service."""
    with Client(service.url) as client:
        yield client


@pytest.fixture
def start_worker(service: Embedded, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts worker processes by name; those that still run are killed at the end."""
    with ExitStack() as at_end:

        def start(name: str) -> subprocess.Popen[bytes]:
            log = at_end.enter_context((tmp_path / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lrsearch_worker", "run", "--url", service.url),
                    *("--data", str(tmp_path / name), "--name", name),
                    *("--device", "cpu", "--threads", "1", "--max-trials", "1"),
                    *("--checkpoint-seconds", "0"),
                ],
                stdout=log,
                stderr=log,
            )
            at_end.callback(process.wait, timeout=30)
            at_end.callback(process.kill)
            return process

        yield start
