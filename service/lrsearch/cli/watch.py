"""`lrsearch watch`: follows a job to its end."""

import typer
from rich.live import Live

from lrsearch.cli.connection import client_of, job_of
from lrsearch.cli.console import err, out
from lrsearch.cli.errors import FAILED
from lrsearch.cli.live import drawing
from lrsearch.cli.options import JobReference
from lrsearch.cli.progress import JobProgress
from lrsearch.cli.sentences import sentence
from lrsearch.cli.tables import outcome
from lrsearch.client import Client
from lrsearch.contract.jobs import Job
from lrsearch.report.axis import point_label
from lrsearch.report.job_report import JobReport

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def watch(context: typer.Context, job: JobReference = "last") -> None:
    """Follow a job: live bars on a terminal, else a line for each event."""
    with client_of(context) as client:
        follow_to_end(client, job_of(client, job))


def follow_to_end(client: Client, job: Job) -> None:
    """Shows a job's progress, then its outcome; exits with 1 where it has none.

    Ctrl-C ends the watching, not the job.
    """
    try:
        follow(client, job)
    except KeyboardInterrupt:
        err.print(
            f"\nNo longer watching; the job runs on.\n"
            f"Watch it again: lrsearch watch {job.id}\nEnd it: lrsearch cancel {job.id}"
        )
        raise typer.Exit(INTERRUPTED) from None
    report = JobReport.fetch(client, job.id)
    out.print(outcome(report))
    if report.result is None:
        raise typer.Exit(FAILED)


def follow(client: Client, job: Job) -> None:
    """Shows a job's progress until it ends."""
    name = _Names(client, job)
    if not out.is_terminal:
        for event in client.events(job.id):
            out.print(sentence(event, name), soft_wrap=True)
        return
    progress = JobProgress(job)
    with Live(drawing(progress, name), console=out, refresh_per_second=8) as live:
        for event in client.events(job.id):
            progress.apply(event)
            live.update(drawing(progress, name))


class _Names:
    """What each trial of a job is; asks the service where a new one turns up."""

    def __init__(self, client: Client, job: Job) -> None:
        self._client = client
        self._job = job
        self._labels: dict[int, str] = {}

    def __call__(self, number: int) -> str:
        if number not in self._labels:
            trials = self._client.trials(self._job.id)
            protocol = self._job.request.protocol
            self._labels |= {trial.number: point_label(protocol, trial) for trial in trials}
        return self._labels.get(number, f"trial {number}")
