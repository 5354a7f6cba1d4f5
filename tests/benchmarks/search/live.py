"""`python -m tests.benchmarks.search.live`: tasks through the real service, beside their replay.

A service and a worker process are started; the service's prior is fitted without the domain of the
task; the job comes by REST, as a user's would. Prints a JSON object for each task.
"""

import json
import logging
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import structlog
import typer

from lrsearch.client import Client
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobRequest
from lrsearch.contract.rates import StageRates
from lrsearch.db.engine import Database
from lrsearch.embedded import Embedded
from lrsearch.priors import keep_prior
from lrsearch.search.prior.prior import Prior
from tests.benchmarks.search.fitted import fitted_prior, known_tasks
from tests.benchmarks.search.lookup import GRADUATED, JOINT, Task
from tests.benchmarks.search.strategies.recommended import Search
from tests.benchmarks.tasks.build import files_of
from tests.benchmarks.tasks.suite import SUITE, recipe_of
from tests.benchmarks.tasks.table import FOLDER

FIVE: Final = (
    "silhouettes-5 from letters",
    "garments-12 from emoji",
    "capitals-5 from emoji",
    "things-6 from letters",
    "cutouts-11 from general",
)
"""Of five domains; near to their source and far from it."""

FINETUNES: Final = 3.0


def main(
    suite: Annotated[Path, typer.Option(help="Folder that `tasks build` wrote.")],
    sources: Annotated[Path, typer.Option(help="Folder of source models.")],
    table: Annotated[Path, typer.Option(help="Folder of the table.")] = FOLDER,
    names: Annotated[str, typer.Option("--tasks", help="Comma-separated.")] = ",".join(FIVE),
) -> None:
    """Run tasks that the prior does not know, and compare with what the table says of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    tasks, repeats = known_tasks(table)
    for name in names.split(","):
        task = next(task for task in tasks if task.name == name)
        others = [each for each in tasks if each.measured.domain != task.measured.domain]
        prior = fitted_prior("without its domain", others, repeats)
        with TemporaryDirectory() as folder:
            print(json.dumps(_compared(task, prior, Path(folder), suite, sources)), flush=True)


def _compared(task: Task, prior: Prior, folder: Path, suite: Path, sources: Path) -> dict[str, Any]:
    with Embedded(folder, 0, 1, logs=folder) as embedded, Client(embedded.url) as client:
        print(f"{task.name}: {embedded.url}", file=sys.stderr, flush=True)
        database = Database(embedded.settings.database)
        with database.write() as session:
            keep_prior(session, prior)
        database.dispose()
        job = client.wait(client.submit(_request(task, client, suite, sources)).id)
        trials, result = list(client.trials(job.id)), client.result(job.id)
    assert job.probe is not None
    assert trials[0].seconds is not None
    seconds = statistics.median(trial.seconds or 0.0 for trial in trials[1:])
    known = [_known(task, trial.rates) for trial in trials]
    winner = _known(task, result.winner.rates)
    return {
        "task": task.name,
        "first_as_replayed": trials[1].rates == _first_replayed(prior, task),
        "first": trials[1].rates.model_dump(),
        "first_expected_gain_points": trials[1].expected_gain_points,
        "val_top1": [trial.val_top1 for trial in trials],
        "val_top1_in_table": [None if trial is None else task.val_top1(trial) for trial in known],
        "test_top1": result.winner.test_top1,
        "test_top1_in_table": None if winner is None else task.test_top1(winner),
        "test_interval": result.winner.test_interval and list(result.winner.test_interval),
        "audit_top1_in_table": None if winner is None else float(task.audit[winner]),
        "baseline_audit_top1_in_table": float(task.audit[0]),
        "exhaustive_audit_top1_in_table": float(task.audit[task.selected(range(12))]),
        "verdict": result.verdict,
        "first_look_finetunes": (job.probe.seconds + trials[0].seconds) / seconds,
    }


def _request(task: Task, client: Client, suite: Path, sources: Path) -> JobRequest:
    target, source = SUITE[task.measured.task], task.measured.source
    client.upload_data_set(files_of(suite, target).user, target.name)
    client.wait_for_data_set(target.name)
    if source not in {model.name for model in client.source_models()}:
        client.register_source_model(sources / f"{source}.safetensors", source)
        client.wait_for_source_model(source)
    return JobRequest(
        data_set=target.name,
        source_model=source,
        images_per_label=target.images_per_label,
        recipe=recipe_of(source),
        budget=Budget(finetunes=FINETUNES),
        confirm=False,
    )


def _first_replayed(prior: Prior, task: Task) -> StageRates:
    trials = task.of(GRADUATED, JOINT)
    return task.rates[trials[Search(prior, task).next(trials)]]


def _known(task: Task, rates: StageRates) -> int | None:
    """The table's trial with these rates."""
    return next((trial for trial, each in enumerate(task.rates) if each == rates), None)


if __name__ == "__main__":
    typer.run(main)
