"""Runs a layer of the table through the service, job after job; each is stored when it is done."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter
from typing import NamedTuple

import structlog
import torch

from lrsearch.client import Client
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.protocols import Protocol
from lrsearch.contract.workers import WorkerRegistration
from lrsearch.embedded import Embedded
from lrsearch_worker.cache import Cache
from lrsearch_worker.courier import Courier
from lrsearch_worker.device import describe, versions, warm_up
from lrsearch_worker.leases import Runner
from lrsearch_worker.loop import Loop
from lrsearch_worker.service import Service
from tests.benchmarks.tasks.build import files_of
from tests.benchmarks.tasks.observe import Auditor
from tests.benchmarks.tasks.points import Layer
from tests.benchmarks.tasks.rows import Row, row_of, write_rows
from tests.benchmarks.tasks.suite import SuiteTask, recipe_of

_CACHE_BYTES = 4 * 2**30
_NO_CHECKPOINTS = 1e9


class Cell(NamedTuple):
    """One job of the table."""

    layer: Layer
    task: SuiteTask
    source: str
    seed: int
    protocol: Protocol
    """Of the layer, for this task and source."""

    @property
    def name(self) -> str:
        """Of its file, and of its job."""
        return f"{self.layer.name}--{self.task.name}--{self.source}--{self.seed}"


def run_cells(cells: list[Cell], suite: Path, sources: Path, rows: Path, threads: int) -> None:
    """Runs those that are not stored yet.

    Args:
        cells: What to run, in this order.
        suite: Folder that `build` wrote.
        sources: Folder of source models, `NAME.safetensors`; shipped ones need no file.
        rows: Folder of the stored cells.
        threads: Trials that compute at a time.
    """
    missing = [cell for cell in cells if not (rows / f"{cell.name}.parquet").exists()]
    print(f"{len(cells) - len(missing)} of {len(cells)} cells are there", flush=True)
    if not missing:
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with TemporaryDirectory() as folder, _set_up(Path(folder), threads) as (client, auditor):
        for number, cell in enumerate(missing, start=1):
            started = perf_counter()
            _provide(client, cell, suite, sources)
            found = _run(client, auditor, cell, suite)
            write_rows(rows / f"{cell.name}.parquet", found)
            print(
                f"{number}/{len(missing)} {cell.name}: {len(found)} trials, "
                f"{perf_counter() - started:.1f} s",
                flush=True,
            )


@contextmanager
def _set_up(folder: Path, threads: int) -> Iterator[tuple[Client, Auditor]]:
    """A service, and a worker whose finetunes the auditor sees."""
    device = torch.device("cpu")
    torch.set_num_threads(1)
    warm_up(device)
    auditor = Auditor(folder / "audit")
    with Embedded(folder / "service", 0, 0) as embedded, Client(embedded.url) as client:
        service, hearts, couriers = (Service(embedded.url, None) for _ in range(3))
        runner = Runner(
            service,
            Cache(folder / "worker", _CACHE_BYTES),
            device,
            Courier(couriers, _NO_CHECKPOINTS),
            threads,
            auditor,
        )
        registration = WorkerRegistration(
            name="benchmark", device=describe(device), versions=versions()
        )
        loop = Loop(service, hearts, runner, registration, max_trials=16)
        thread = Thread(target=loop.run, name="worker", daemon=True)
        thread.start()
        try:
            yield client, auditor
        finally:
            loop.stop()
            thread.join()


def _provide(client: Client, cell: Cell, suite: Path, sources: Path) -> None:
    """Upload the cell's data set and source model, unless they are there."""
    if cell.task.name not in {data_set.name for data_set in client.data_sets()}:
        client.upload_data_set(files_of(suite, cell.task).user, cell.task.name)
        client.wait_for_data_set(cell.task.name)
    if cell.source not in {model.name for model in client.source_models()}:
        client.register_source_model(sources / f"{cell.source}.safetensors", cell.source)
        client.wait_for_source_model(cell.source)


def _run(client: Client, auditor: Auditor, cell: Cell, suite: Path) -> list[Row]:
    auditor.begin(files_of(suite, cell.task).audit)
    recipe = recipe_of(cell.source, cell.seed)
    request = JobRequest(
        data_set=cell.task.name,
        source_model=cell.source,
        name=cell.name,
        images_per_label=cell.task.images_per_label,
        protocol=cell.protocol,
        strategy=cell.layer.strategy,
        recipe=recipe,
        budget=cell.layer.budget,
        confirm=False,  # a second seed is a cell of its own
    )
    job = client.wait(client.submit(request).id)
    if job.state != "complete":
        raise RuntimeError(f"{cell.name}: the job is {job.state}: {job.reason}")
    known = {
        "task": cell.task.name,
        "domain": cell.task.domain,
        "source": cell.source,
        "layer": cell.layer.name,
        "seed": cell.seed,
    }
    return [row_of(trial, auditor.of(trial.id), **known) for trial in client.trials(job.id)]
