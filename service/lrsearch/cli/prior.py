"""`lrsearch prior`: what the service has learnt from other tasks, on the service's machine."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lrsearch.cli.console import err, out
from lrsearch.cli.db import open_database
from lrsearch.cli.errors import extra
from lrsearch.cli.tables import plain_table

if TYPE_CHECKING:
    from lrsearch.priors import OwnPrior
    from lrsearch.search.prior.evidence import Evidence
    from lrsearch.search.prior.local import Fit
    from lrsearch.search.prior.prior import Prior

app = typer.Typer(
    no_args_is_help=True, help="What recommendations rest on: finetunes of known tasks."
)


@app.command("show")
def show() -> None:
    """Show the prior in use: its tasks, and what it takes to be alike."""
    prior, own = _in_force()
    evidence = prior.evidence
    out.print(_whose(prior, own), soft_wrap=True)
    out.print(
        f"{len(evidence.values)} finetunes of {len(evidence.names)} tasks in "
        f"{len(set(evidence.domains))} domains."
    )
    out.print(Group(_domains(evidence), *_alike(prior)))


@app.command("fit")
def fit(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compare only; change nothing.")
    ] = False,
) -> None:
    """Learn from the finished jobs here, if that makes recommendations better.

    The prior is fitted to them together with what ships, and judged on each task here without
    knowing that task's data set. The environment (LRSEARCH_…) says where jobs and data are.
    """
    with extra("service"):
        from lrsearch.local_evidence import local_evidence
        from lrsearch.priors import keep_prior, reset_prior, shipped_prior
        from lrsearch.search.prior.local import fit_prior
    with open_database() as database, database.read() as session:
        local = local_evidence(session)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        step = progress.add_task("Fitting", total=None)
        found = fit_prior(
            shipped_prior(),
            local,
            lambda done, steps: progress.update(step, completed=done, total=steps),
        )
    out.print(_comparison(local, found))
    if dry_run or found.judgement is None:
        return
    with open_database() as database, database.write() as session:
        if found.prior is not None:
            keep_prior(session, found.prior)
        else:
            reset_prior(session)
    used = f"the shipped prior {shipped_prior().version}"
    if found.prior is not None:
        used = f"prior {found.prior.version} from now on"
    out.print(f"The service uses {used}.", soft_wrap=True)


@app.command("reset")
def reset() -> None:
    """Go back to the shipped prior."""
    with extra("service"):
        from lrsearch.priors import reset_prior, shipped_prior
    with open_database() as database, database.write() as session:
        had = reset_prior(session)
    since = "from now on" if had else "already"
    out.print(f"The service uses the shipped prior {shipped_prior().version} {since}.")


@app.command("plot")
def plot(
    file: Annotated[
        Path, typer.Option("--out", "-o", dir_okay=False, help="Page to write.")
    ] = Path("prior.html"),
) -> None:
    """Draw the recommended scale against images per label."""
    with extra("service"):
        from lrsearch.report.prior_page import prior_page
    prior, _ = _in_force()
    page = prior_page(prior)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")
    out.print(f"Wrote {file}.", soft_wrap=True)


def _in_force() -> "tuple[Prior, OwnPrior | None]":
    """The prior that the service uses, and the installation's own; before its first start too."""
    with extra("service"):
        from lrsearch.priors import own_prior, prior_in_force, shipped_prior
        from lrsearch.settings import Settings
    url = Settings().database
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return shipped_prior(), None
    with open_database() as database, database.read() as session:
        return prior_in_force(session), own_prior(session)


def _whose(prior: "Prior", own: "OwnPrior | None") -> str:
    from lrsearch.priors import shipped_prior

    shipped = shipped_prior()
    if prior is not shipped:
        assert own is not None
        at = f"{own.fitted_at:%Y-%m-%d %H:%M} UTC"
        whose = f"Prior {prior.version}: this installation's, fitted {at}."
        if prior.version.partition("+")[0] != shipped.version:
            whose += f"\nPrior {shipped.version} ships now; `lrsearch prior fit` takes it up."
        return whose
    whose = f"Prior {prior.version}: the shipped one."
    if own is not None:
        whose += (
            f"\nThis installation's, {own.version}, is of another version of lrsearch; "
            "`lrsearch prior fit` makes a new one."
        )
    return whose


def _comparison(local: "Evidence", found: "Fit") -> RenderableType:
    from lrsearch.search.prior.judge import FEWEST_TASKS

    tasks = "1 task" if len(local.names) == 1 else f"{len(local.names)} tasks"
    here = f"{len(local.values)} finetunes of {tasks} here have ended and were probed"
    if found.judgement is None:
        return f"{here}: too little to judge by ({FEWEST_TASKS} tasks are needed). Nothing changes."
    used = len(found.local.values)
    thinned = f"; {used} of them are used" if used < len(local.values) else ""
    table = plain_table("task", "shipped>", "with what was learnt here>")
    for regret in found.judgement.regrets:
        table.add_row(regret.task, f"{regret.shipped:.1f}", f"{regret.together:.1f}")
    mean = found.judgement
    table.add_section()
    table.add_row("mean", f"{mean.shipped:.2f}", f"{mean.together:.2f}", style="bold")
    return Group(
        f"{here}{thinned}.",
        "Points of validation top-1 by which the first recommendation is below the best that was "
        "tried, the task's data set being unknown:",
        table,
        "What was learnt here makes it better."
        if mean.is_better
        else "What was learnt here makes it no better.",
    )


def _domains(evidence: "Evidence") -> RenderableType:
    tasks = Counter(evidence.domains)
    finetunes = Counter(evidence.domains[task] for task in evidence.tasks)
    table = plain_table("domain", "tasks>", "finetunes>")
    for domain in sorted(tasks):
        table.add_row(domain, str(tasks[domain]), str(finetunes[domain]))
    return table


def _alike(prior: "Prior") -> list[RenderableType]:
    """The kernel's lengths, in the units of what they measure."""
    from lrsearch.search.prior.coordinates import COORDINATES
    from lrsearch.search.prior.features import FEATURES

    kernel, spread = prior.kernel, prior.evidence.features.std(axis=0)
    rates = plain_table("rates are alike that differ", "")
    for name, length in zip(COORDINATES, kernel.rate_lengths, strict=True):
        by = f"by {length:.1f}" if name == "frozen stages" else f"by a factor of {2**length:.1f}"
        rates.add_row(name, by)
    tasks = plain_table("tasks are alike that differ", "")
    for name, length in zip(FEATURES, kernel.feature_lengths * spread, strict=True):
        linear = name == "linear accuracy"
        tasks.add_row(name, f"by {length:.2f}" if linear else f"by a factor of {2**length:.1f}")
    return [rates, tasks]
