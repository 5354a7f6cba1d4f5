"""The jobs of a run: many small searches that differ in how they are searched and paid for."""

from pathlib import Path
from typing import Final

import lrsearch
from lrsearch.client.client import Client
from lrsearch.client.errors import ClientError
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.protocols import Graduated, LogRange
from lrsearch.contract.recipes import Recipe
from tests.faults.curves import EPOCHS

SAMPLE: Final = Path(lrsearch.__file__).parent / "samples" / "silhouettes.zip"

DATA_SET: Final = "silhouettes"


def requests(jobs: int, trials: int) -> list[JobRequest]:
    """So many jobs of at least so many trials each, the baseline included.

    They are paid for in turns by trials, by epochs (of which a trial that diverges gives some
    back), and by trials of which the last is kept for the confirmation of a winner with a gain.
    """
    finetunes = trials - 1
    found = []
    for number in range(jobs):
        kind = number % 4
        grid = kind == 3
        scales = [round(0.25 * step, 2) for step in range(1, finetunes + 1)]
        trials_paid = finetunes + 1 if grid else finetunes
        found.append(
            JobRequest(
                data_set=DATA_SET,
                source_model="random",
                name=f"faults-{number}",
                protocol=Graduated(scale=scales if grid else LogRange(low=0.1, high=20.0)),
                strategy="exhaustive" if grid else "tpe" if kind == 1 else "random",
                recipe=Recipe(epochs=EPOCHS, seed=number),
                budget=Budget(epochs=finetunes * EPOCHS)
                if kind == 2
                else Budget(trials=trials_paid),
                confirm=grid,
            )
        )
    return found


def upload_data_set(url: str) -> None:
    """Have the images that all jobs are of."""
    with Client(url, attempts=20) as client:
        client.upload_data_set(SAMPLE, name=DATA_SET)
        client.wait_for_data_set(DATA_SET, timeout_seconds=120.0)


def submit(client: Client, request: JobRequest) -> bool:
    """Submit a job, whose name keeps a second try from making a second one; whether it is there."""
    try:
        client.submit(request, idempotency_key=request.name)
    except ClientError:  # cut off, or the service is away
        return False
    return True
