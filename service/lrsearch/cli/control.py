"""`lrsearch pause`, `resume`, `change`, `cancel` and `delete`."""

from typing import Annotated

import typer

from lrsearch.cli.connection import client_of, job_of
from lrsearch.cli.console import err, out
from lrsearch.cli.errors import UsageError
from lrsearch.cli.options import (
    BUDGET,
    EpochsBudget,
    JobReference,
    Priority,
    Seconds,
    TargetAccuracy,
    Trials,
)
from lrsearch.contract.budgets import Budget
from lrsearch.contract.jobs import JobChange
from lrsearch.report.text import budget_bounds


def pause(context: typer.Context, job: JobReference) -> None:
    """Pause a job; its trials under way are handed back, and go on later from their checkpoints."""
    with client_of(context) as client:
        paused = client.pause(job_of(client, job).id)
    out.print(f"Job {paused.id} is paused.")


def resume(context: typer.Context, job: JobReference) -> None:
    """Have a paused job go on."""
    with client_of(context) as client:
        resumed = client.resume(job_of(client, job).id)
    out.print(f"Job {resumed.id} goes on: {resumed.reason}.")


def change(
    context: typer.Context,
    job: JobReference,
    priority: Priority = None,
    trials: Trials = None,
    finetunes: Annotated[
        float | None,
        typer.Option(help="Finetune-equivalents at most.", rich_help_panel=BUDGET),
    ] = None,
    epochs_budget: EpochsBudget = None,
    seconds: Seconds = None,
    target_accuracy: TargetAccuracy = None,
) -> None:
    """Give a running job another priority, or another budget in place of the one that it has."""
    bounds = {
        "trials": trials,
        "finetunes": finetunes,
        "epochs": epochs_budget,
        "seconds": seconds,
        "target_accuracy": target_accuracy,
    }
    given = {name: value for name, value in bounds.items() if value is not None}
    if priority is None and not given:
        raise UsageError(
            "Say what to change: --priority, or a bound of the budget such as --trials."
        )
    wanted = JobChange(priority=priority, budget=Budget.model_validate(given) if given else None)
    with client_of(context) as client:
        changed = client.change(job_of(client, job).id, wanted)
    budget = budget_bounds(changed.request.budget) or "none"
    out.print(f"Job {changed.id} has priority {changed.request.priority}, budget: {budget}.")


def cancel(context: typer.Context, job: JobReference) -> None:
    """Cancel a job; its trials under way are stopped."""
    with client_of(context) as client:
        cancelled = client.cancel(job_of(client, job).id)
    out.print(f"Job {cancelled.id} is {cancelled.state}.")


def delete(
    context: typer.Context,
    job: JobReference,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
) -> None:
    """Delete a job with its trials, logs and weights; one that runs is cancelled first."""
    with client_of(context) as client:
        found = job_of(client, job)
        name = f"{found.id} ({found.name})" if found.name else found.id
        question = f"Delete job {name}, which is {found.state}, with all that belongs to it?"
        if not yes and not typer.confirm(question, err=True):
            err.print("Nothing was deleted.")
            raise typer.Exit(1)
        client.delete(found.id)
    out.print(f"Job {found.id} is deleted.")
