"""A worker in a thread, and the service that it speaks to."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import httpx
import pytest
import structlog
import torch
from structlog.testing import LogCapture

from lrsearch.contract.workers import Device, WorkerRegistration
from lrsearch_worker.cache import Cache
from lrsearch_worker.courier import Courier
from lrsearch_worker.leases import Runner
from lrsearch_worker.loop import Loop
from lrsearch_worker.retry import Patience
from lrsearch_worker.service import Service
from lrsearch_worker.trial_logs import TRIAL_LOGS
from tests.worker.loop.fake_service import WAIT_SECONDS, FakeService
from tests.worker.loop.samples import Archive, three_animals

SELDOM_SECONDS = 3600.0
AT_ONCE = Patience(first_seconds=0.001, longest_seconds=0.01)
REGISTRATION = WorkerRegistration(name="worker", device=Device(kind="cpu", name="test"))

StartWorker = Callable[..., Loop]


@pytest.fixture(scope="session")
def animals() -> Archive:
    return three_animals()


@pytest.fixture
def service() -> Iterator[FakeService]:
    service = FakeService()
    yield service
    service.close()


@pytest.fixture
def log() -> Iterator[LogCapture]:
    """What is logged."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, TRIAL_LOGS, capture])
    yield capture
    structlog.reset_defaults()


@pytest.fixture
def start_worker(service: FakeService, tmp_path: Path, log: LogCapture) -> Iterator[StartWorker]:
    """Starts a worker that runs until the test's end."""
    with ExitStack() as stack:

        def start(
            max_trials: int = 1,
            cache_bytes: int = 2**30,
            checkpoint_seconds: float = SELDOM_SECONDS,
            threads: int = 1,
        ) -> Loop:
            courier = Courier(connection(service), checkpoint_seconds)
            stack.callback(courier.close)
            cache = Cache(tmp_path / "cache", cache_bytes)
            loop = make_loop(service, cache, max_trials, courier, threads)
            stack.enter_context(_running(loop, service))
            return loop

        yield start


def make_loop(
    service: FakeService,
    cache: Cache,
    max_trials: int = 1,
    courier: Courier | None = None,
    threads: int = 1,
) -> Loop:
    """A worker that speaks to `service` without a network."""
    own, hearts = connection(service), connection(service)
    courier = courier or Courier(connection(service), SELDOM_SECONDS)
    runner = Runner(own, cache, torch.device("cpu"), courier, threads)
    return Loop(own, hearts, runner, REGISTRATION, max_trials, AT_ONCE)


def connection(service: FakeService) -> Service:
    """One without a network."""
    return Service("http://service", transport=httpx.MockTransport(service.handle))


@contextmanager
def _running(loop: Loop, service: FakeService) -> Iterator[None]:
    thread = Thread(target=loop.run, name="loop")
    thread.start()
    try:
        yield
    finally:
        loop.stop()
        service.close()
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()
