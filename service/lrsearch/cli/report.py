"""`lrsearch report`: a job's report as files."""

from pathlib import Path
from typing import Annotated

import typer

from lrsearch.cli.connection import client_of, job_of
from lrsearch.cli.console import out
from lrsearch.cli.options import JobReference
from lrsearch.report.job_report import JobReport


def report(
    context: typer.Context,
    job: JobReference = "last",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the page to read.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the document for programs.")
    ] = None,
) -> None:
    """Write a job's report; without a choice, report.html and report.json."""
    if html is None and json is None:
        html, json = Path("report.html"), Path("report.json")
    with client_of(context) as client:
        document = JobReport.fetch(client, job_of(client, job).id)
    write(document, html, json)


def write(document: JobReport, html: Path | None, json: Path | None) -> None:
    """Writes the files asked for, and says where."""
    from lrsearch.report.html import page  # plotly takes a while to load

    for path, content in ((html, page), (json, JobReport.to_json)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content(document), encoding="utf-8")
            out.print(f"Wrote {path}.", soft_wrap=True)
