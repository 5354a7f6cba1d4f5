"""`lrsearch demo`: a real search from start to end on this machine, in seconds."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lrsearch.cli.console import err, out
from lrsearch.cli.data import upload
from lrsearch.cli.errors import FAILED, extra
from lrsearch.cli.options import DeviceName
from lrsearch.cli.report import write
from lrsearch.cli.signals import interrupting_signals
from lrsearch.cli.tables import outcome
from lrsearch.cli.target import find
from lrsearch.cli.watch import follow
from lrsearch.client import Client
from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job, JobRequest
from lrsearch.report.job_report import JobReport

IMAGES_PER_LABEL = 10

_DATA_SET = "silhouettes"

_SQLITE_FILE = "lrsearch.db"


def demo(
    out_dir: Annotated[
        Path, typer.Option("--out", file_okay=False, help="Folder for report, weights and data.")
    ] = Path("out/demo"),
    source: Annotated[str, typer.Option(help="Source model.")] = "general",
    device: DeviceName = "cpu",
) -> None:
    """Search the rates for real images with a shipped source model, and report what came of it.

    LRSEARCH_DATABASE_URL makes it run on PostgreSQL instead of SQLite.
    """
    with extra("service"):
        from lrsearch.embedded import Embedded
        from lrsearch.logs import logs_in
    data = _fresh(out_dir / "data")
    logs = out_dir / "logs"
    with (
        interrupting_signals(),
        logs_in(logs / "service.log"),
        Embedded(data, 0, 1, device, logs, err.print) as embedded,
        Client(embedded.url) as client,
    ):
        out.print(f"Service and dashboard at {embedded.url}, one worker on {device}.")
        data_set = _upload_sample(client)
        job = client.submit(_request(data_set, source))
        out.print(_introduction(data_set, job))
        follow(client, job)
        report = JobReport.fetch(client, job.id)
        out.print(outcome(report))
        write(report, out_dir / "report.html", out_dir / "report.json")
        if report.result is None:
            raise typer.Exit(FAILED)
        weights = client.download_weights(job.id, out_dir / "winner.safetensors")
        out.print(f"Wrote {weights}.", soft_wrap=True)
    out.print(_further(data))


def _request(data_set: DataSet, source: str) -> JobRequest:
    return JobRequest(
        data_set=data_set.name,
        source_model=source,
        name="demo",
        images_per_label=IMAGES_PER_LABEL,
    )


def _fresh(data: Path) -> Path:
    """An empty data folder; one that an earlier demo left goes, unless a database refers to it."""
    if (data / _SQLITE_FILE).exists():
        shutil.rmtree(data)
    return data


def _upload_sample(client: Client) -> DataSet:
    """Uploads the shipped images, under a name that is not taken (in a database that is kept)."""
    names = (_DATA_SET if n == 1 else f"{_DATA_SET}-{n}" for n in range(1, 10_000))
    name = next(name for name in names if find(client, name) is None)
    with as_file(files("lrsearch").joinpath(f"samples/{_DATA_SET}.zip")) as archive:
        return upload(client, archive, name)


def _introduction(data_set: DataSet, job: Job) -> Text:
    statistics = data_set.statistics
    images = "" if statistics is None else f" ({len(statistics.labels)} labels)"
    return Text(
        f"Target {data_set.name}{images}: real silhouettes of animals. "
        f"Source model {job.request.source_model}.\n"
        f"Job {job.id}: {IMAGES_PER_LABEL} images per label. After a look at the task, its budget "
        f"of {job.request.budget.finetunes:g} finetunes goes to the rates that are recommended.\n"
    )


def _further(data: Path) -> Group:
    commands = Table.grid(padding=(0, 3))
    for command, meaning in (
        (f"lrsearch up --data {data}", "service and dashboard with this job in them"),
        ("lrsearch show last", "its trials and rates"),
        ("lrsearch submit FOLDER --watch", "the same for your images, one folder a label"),
    ):
        commands.add_row(f"  {command}", meaning)
    return Group(Text("\nTo explore further:", style="bold"), commands)
