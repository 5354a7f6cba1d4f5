"""The example of a reverse proxy, `docker/Caddyfile`, before a service of its own process."""

import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from httpx_sse import connect_sse
from PIL import Image

from lrsearch.access.keys import create_key
from lrsearch.contract.keys import KeyRequest
from lrsearch.db.engine import Database
from lrsearch.settings import Settings
from tests.api.conftest import uploaded
from tests.api.samples import silhouettes, zip_of

CADDYFILE = Path(__file__).parents[2] / "docker" / "Caddyfile"

PUBLIC = "lrsearch.example.org"

MIB = 2**20

MAX_UPLOAD_BYTES = 16 * MIB

OPTIONS = """{{
    admin off
    auto_https disable_redirects
    local_certs
    skip_install_trust
    storage file_system {folder}
}}
import {caddyfile}
"""
"""What a test needs besides: no port but its own, and nothing that outlives it."""


class Process:
    """A program that runs while the test does, and what it says on standard error."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._said: Queue[str] = Queue()
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = Thread(target=self._read)
        self._reader.start()

    def line_with(self, *texts: str) -> str:
        """The next line that has one of the texts in it."""
        while True:
            line = self._said.get(timeout=60.0)
            if any(text in line for text in texts):
                return line

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(30.0)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._said.put(line)


@dataclass(frozen=True)
class Site:
    """A service behind a proxy."""

    service: Process
    service_port: int
    proxy_port: int
    certificate: Path
    key: str

    @contextmanager
    def client(
        self, host: str = "localhost", source: str = "127.0.0.1", port: int | None = None
    ) -> Iterator[httpx.Client]:
        """A client of the proxy, by one of its names, or of the service's own port."""
        context = ssl.create_default_context(cafile=self.certificate)
        url = f"https://127.0.0.1:{self.proxy_port}" if port is None else f"http://127.0.0.1:{port}"
        with httpx.Client(
            base_url=url,
            headers={"Host": host},
            transport=_Named(host, verify=context, local_address=source),
            timeout=30.0,
        ) as client:
            yield client


class _Named(httpx.HTTPTransport):
    """Asks for the certificate of a name, whatever the address."""

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(**more)
        self._name = name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions |= {"sni_hostname": self._name}
        return super().handle_request(request)


@pytest.fixture(scope="module")
def site(migrated_sqlite: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    caddy = shutil.which("caddy") or pytest.skip("caddy is not there")
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(data_dir=shutil.copytree(migrated_sqlite.data_dir, folder / "data"))
    database = Database(settings.database)
    with database.write() as session:
        key = create_key(session, KeyRequest(name="admin", scopes=["admin"])).secret
    database.dispose()

    serve = [sys.executable, "-c", "from lrsearch.cli.main import app; app()", "serve"]
    environment = {
        "LRSEARCH_DATA_DIR": str(settings.data_dir),
        "LRSEARCH_REQUIRE_KEYS": "true",
        "LRSEARCH_MAX_UPLOAD_BYTES": str(MAX_UPLOAD_BYTES),
        "LRSEARCH_MAX_REQUESTS_PER_SECOND": "0",  # tests ask again without a pause
    }
    service = Process([*serve, "--port", "0"], environment)
    try:
        told = json.loads(service.line_with("Uvicorn running on"))["event"]
        service_port = int(told.split("127.0.0.1:")[1].split()[0])
        with socket.create_server(("127.0.0.1", 0)) as free:
            proxy_port = free.getsockname()[1]
        options = folder / "Caddyfile"
        options.write_text(OPTIONS.format(folder=folder / "caddy", caddyfile=CADDYFILE))
        proxy = Process(
            [caddy, "run", "--adapter", "caddyfile", "--config", str(options)],
            {
                "LRSEARCH_SITE": f"localhost:{proxy_port}, {PUBLIC}:{proxy_port}",
                "LRSEARCH_UPSTREAM": f"127.0.0.1:{service_port}",
            },
        )
        try:
            for _ in range(3):  # in any order: a certificate for each name, and the ports
                proxy.line_with("certificate obtained successfully", "serving initial")
            root = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
            yield Site(service, service_port, proxy_port, root, key)
        finally:
            proxy.end()
    finally:
        service.end()


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """An administrator's."""
    with site.client() as client:
        client.headers["Authorization"] = f"Bearer {site.key}"
        yield client


def test_what_is_uploaded_arrives(client: httpx.Client) -> None:
    uploaded(client, "small", zip_of(silhouettes()))
    content = client.get("/v1/datasets/small/content")
    assert content.headers["content-type"] == "application/zip"


def test_a_large_upload_arrives_and_the_services_limit_is_the_only_one(
    client: httpx.Client,
) -> None:
    files = {}
    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (350, 350, 3), np.uint8)
        files[f"{'ab'[number % 2]}/{number}.png"] = _png(Image.fromarray(noise))
    archive = zip_of(files)
    assert 14 * MIB < len(archive) < MAX_UPLOAD_BYTES
    uploaded(client, "large", archive)

    refused = client.post(
        "/v1/datasets", params={"name": "too-large"}, content=archive + bytes(4 * MIB)
    )
    assert refused.status_code == 413
    assert refused.headers["content-type"] == "application/problem+json"


def test_events_come_as_they_happen(site: Site, client: httpx.Client) -> None:
    uploaded(client, "waiting", zip_of(silhouettes()))
    request = {"data_set": "waiting", "source_model": "random", "strategy": "exhaustive"}
    job = client.post("/v1/jobs", json=request).raise_for_status().json()["id"]
    with (
        site.client() as other,
        connect_sse(other, "GET", f"/v1/jobs/{job}/events", headers=dict(client.headers)) as source,
    ):
        events = source.iter_sse()
        for priority in (3, 7):  # the stream goes on: whoever collected it would show neither
            client.patch(f"/v1/jobs/{job}", json={"priority": priority}).raise_for_status()
            told = json.loads(next(events).data)["body"]
            assert (told["type"], told["priority"]) == ("job_changed", priority)
        client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        assert [event.event for event in events][-1] == "job_finished"


def test_security_headers_are_kept_and_the_public_name_is_pinned_to_https(site: Site) -> None:
    answers = {}
    for host in ("localhost", PUBLIC):
        with site.client(host) as client:
            answers[host] = client.get("/docs")
    for answer in answers.values():
        assert answer.status_code == 200
        assert "/openapi.json" in answer.text
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert answers[PUBLIC].headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in answers["localhost"].headers


def test_the_dashboard_is_shown_to_an_administrator_over_https(site: Site) -> None:
    with site.client(PUBLIC) as client:
        assert client.get("/dashboard/").status_code == 401
        shown = client.get("/dashboard/", auth=("any", site.key))
        assert (shown.status_code, "<title>" in shown.text) == (200, True)
        moved = client.get("/", auth=("any", site.key))
        assert moved.is_redirect
        target = moved.headers["location"]
        assert target == "/dashboard" or target.startswith(f"https://{PUBLIC}/")


@pytest.mark.parametrize("direct", [False, True])
def test_the_log_has_the_clients_own_address(site: Site, direct: bool) -> None:
    """The proxy's word is taken, a client's own word never is."""
    path = f"/v1/jobs/{uuid4().hex}"
    port = site.service_port if direct else None
    with site.client(source="127.0.0.5", port=port) as client:
        forged = client.get(path, headers={"X-Forwarded-For": "192.0.2.7"})
    assert forged.status_code == 401
    audited = json.loads(site.service.line_with(f'"GET {path}"'))
    assert (audited["event"], audited["address"]) == ("audit", "127.0.0.5")


def _png(image: Image.Image) -> bytes:
    packed = io.BytesIO()
    image.save(packed, "PNG")
    return packed.getvalue()
