"""A running service for the tests of client and command line."""

from collections.abc import Iterator

import pytest

from lrsearch import Client
from lrsearch.contract.jobs import Job, JobRequest
from lrsearch.contract.recipes import Recipe
from lrsearch.embedded import Embedded
from lrsearch.logs import logs_in
from tests.client.images import write_images
from tests.client.scripted_worker import ScriptedWorker


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service on SQLite, on a free port, without a worker."""
    folder = tmp_path_factory.mktemp("service")
    with logs_in(folder / "log"), Embedded(folder, port=0, workers=0) as embedded:
        yield embedded.url


@pytest.fixture
def client(service_url: str) -> Iterator[Client]:
    with Client(service_url) as client:
        yield client


@pytest.fixture(scope="session")
def data_set(service_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a data set that is ready: 2 labels of 80 images, so that 32 are tested."""
    folder = write_images(tmp_path_factory.mktemp("images") / "colours", images=80)
    with Client(service_url) as client:
        client.upload_data_set(folder)
        return client.wait_for_data_set("colours", timeout_seconds=30).name


@pytest.fixture(scope="session")
def complete_job(service_url: str, data_set: str) -> Job:
    """A `graduated` job that is complete; scale 2.5 has won."""
    request = JobRequest(
        data_set=data_set,
        source_model="random",
        name="finished",
        strategy="exhaustive",
        priority=100,
        recipe=Recipe(epochs=2),
    )
    with Client(service_url) as client, ScriptedWorker(service_url):
        return client.wait(client.submit(request).id, timeout_seconds=60)
