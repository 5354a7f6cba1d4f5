"""`lrsearch jobs`, `show`, `logs` and `weights`."""

from pathlib import Path
from typing import Annotated

import typer

from lrsearch.cli.connection import client_of, job_of
from lrsearch.cli.console import out, print_json
from lrsearch.cli.options import JobReference, Json
from lrsearch.cli.tables import job_summary, jobs_table, outcome, trials_table
from lrsearch.contract.jobs import JobState
from lrsearch.report.job_report import JobReport


def jobs(
    context: typer.Context,
    state: Annotated[JobState | None, typer.Option(help="Only jobs in this state.")] = None,
    data_set: Annotated[str | None, typer.Option(help="Only jobs on this target.")] = None,
    source: Annotated[str | None, typer.Option(help="Only jobs from this source model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    with client_of(context) as client:
        found = client.jobs(state, data_set, source)
        newest = [job for job, _ in zip(found, range(limit), strict=False)]
    if json:
        print_json(newest)
    elif newest:
        out.print(jobs_table(newest))
    else:
        out.print("No such job.")


def show(context: typer.Context, job: JobReference = "last", json: Json = False) -> None:
    """Show a job: why it waits, its trials with their rates, and its result."""
    with client_of(context) as client:
        report = JobReport.fetch(client, job_of(client, job).id)
    if json:
        print_json(report)
        return
    out.print(job_summary(report.job), "")
    out.print(trials_table(report.job, report.trials))
    if report.result is not None:
        out.print(outcome(report))


def logs(
    context: typer.Context,
    job: JobReference = "last",
    trial: Annotated[
        int | None, typer.Argument(min=0, help="Number of a trial (default: all).")
    ] = None,
) -> None:
    """Print what workers logged of a job's trials."""
    with client_of(context) as client:
        job_id = job_of(client, job).id
        if trial is not None:
            out.print(client.trial_log(job_id, trial), end="", soft_wrap=True)
            return
        for each in client.trials(job_id):
            if text := client.trial_log(job_id, each.number):
                out.print(f"## trial {each.number}, {each.state}\n{text}", soft_wrap=True)


def weights(
    context: typer.Context,
    job: JobReference = "last",
    path: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path(
        "winner.safetensors"
    ),
) -> None:
    """Download the winner's weights, as safetensors."""
    with client_of(context) as client:
        written = client.download_weights(job_of(client, job).id, path)
    out.print(f"Wrote {written}.", soft_wrap=True)
