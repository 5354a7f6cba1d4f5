"""`lrsearch-worker run`: work for a service until told to stop."""

import os
import signal
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Annotated, Any, Final, NoReturn

import structlog
import torch
import typer

from lrsearch.contract.workers import WorkerRegistration
from lrsearch_worker.cache import Cache
from lrsearch_worker.commands.errors import told_plainly
from lrsearch_worker.courier import Courier
from lrsearch_worker.device import (
    choose_device,
    describe,
    threads_for,
    trials_for,
    versions,
    warm_up,
)
from lrsearch_worker.errors import DeviceLostError, ServiceRefusedError
from lrsearch_worker.leases import Runner
from lrsearch_worker.logs import configure_logs
from lrsearch_worker.loop import Loop
from lrsearch_worker.service import Service
from lrsearch_worker.settings import DeviceChoice, LogFormat, WorkerSettings

HAND_BACK_SECONDS: Final = 5.0
"""How long handing a lease back may take before the process ends all the same."""

log = structlog.get_logger(__name__)


def run_command(
    url: Annotated[str | None, typer.Option(help="Root of the service.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="File with the API key; else LRSEARCH_API_KEY holds it.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for data sets and weights; can be shared.")
    ] = None,
    cache_gib: Annotated[float | None, typer.Option(help="Limit of that folder, in GiB.")] = None,
    device: Annotated[DeviceChoice | None, typer.Option(help="What computes.")] = None,
    threads: Annotated[int | None, typer.Option(help="Trials at a time on the CPU.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of this worker, for people.")] = None,
    max_trials: Annotated[int | None, typer.Option(help="Trials that a lease may hold.")] = None,
    checkpoint_seconds: Annotated[
        float | None, typer.Option(help="From one checkpoint of a trial to the next.")
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="Form of the log.")] = None,
) -> None:
    """Pull work from a service and do it, until SIGTERM or Ctrl-C; a second one ends at once.

    Each option may be set as LRSEARCH_WORKER_… in the environment, such as LRSEARCH_WORKER_URL.
    """
    given: dict[str, Any] = {
        "url": url,
        "key_file": key_file,
        "data": data,
        "cache_gib": cache_gib,
        "device": device,
        "threads": threads,
        "name": name,
        "max_trials": max_trials,
        "checkpoint_seconds": checkpoint_seconds,
        "log_format": log_format,
    }
    with told_plainly():
        settings = WorkerSettings(**{k: v for k, v in given.items() if v is not None})
        key, chosen = settings.key(), choose_device(settings.device)
    configure_logs(settings.log_format)
    threads = threads_for(chosen, settings.threads)
    # A connection for each of the three threads that speak to the service.
    service, hearts_service, couriers_service = (Service(settings.url, key) for _ in range(3))
    courier = Courier(couriers_service, settings.checkpoint_seconds)
    loop = Loop(
        service,
        hearts_service,
        Runner(service, Cache(settings.data, settings.cache_bytes), chosen, courier, threads),
        WorkerRegistration(name=settings.name, device=describe(chosen), versions=versions()),
        settings.max_trials or trials_for(chosen, threads),
    )
    _run_until_signalled(loop, chosen)


class _StopSignal(BaseException):
    """SIGTERM or SIGINT has come."""


def _run_until_signalled(loop: Loop, device: torch.device) -> NoReturn:
    """End the process with 0 after a signal, with 1 after an error.

    The loop has a thread of its own, so that this one answers signals whatever torch is doing.
    The process ends without the interpreter's farewell, because torch may be in the middle of a
    step then, and its threads would end badly.
    """
    thread = Thread(target=_run, args=(loop, device), name="loop", daemon=True)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _first_signal)
        thread.start()
        thread.join()
    except _StopSignal:
        loop.stop()
        loop.wait_until_handed_back(HAND_BACK_SECONDS)
        log.info("stopped")
        os._exit(0)
    os._exit(1)


def _run(loop: Loop, device: torch.device) -> None:
    torch.set_num_threads(1)  # a trial's numbers must not depend on how many compute beside it
    try:
        warm_up(device)
        loop.run()
    except (ServiceRefusedError, DeviceLostError) as error:
        log.error("worker ends", reason=str(error))
    except Exception:
        log.exception("worker ends")


def _first_signal(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _second_signal)
    raise _StopSignal


def _second_signal(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)
