"""A prior, fitted to tasks of the table; `python -m tests.benchmarks.search.fitted` ships it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.fit import fit_kernel
from lrsearch.search.prior.prior import SHIPPED, Prior
from tests.benchmarks.search.lookup import GRADUATED, JOINT, SEEDS, Task, evidence_of
from tests.benchmarks.tasks.table import FOLDER, read_table

KERNEL_FINETUNES: Final = 1000
"""What a kernel is fitted to: its twenty numbers need no more."""

FINETUNES_PER_TASK: Final = 14
"""What a prior keeps of each task, the baseline among them: it then takes half a second to be
loaded, and milliseconds to be asked, and recommends as well as with all of them."""


def main(
    version: Annotated[str, typer.Option(help="Of the prior; year and month.")],
    table: Annotated[Path, typer.Option(help="Folder of the table.")] = FOLDER,
    path: Annotated[Path, typer.Option(help="File to write.")] = SHIPPED,
) -> None:
    """Fits the prior that ships to the whole table."""
    prior = fitted_prior(version, *known_tasks(table))
    prior.write(path)
    print(f"{len(prior.evidence.names)} tasks, {len(prior.evidence.values)} finetunes")
    print(prior.kernel)


def known_tasks(table: Path = FOLDER) -> tuple[list[Task], list[Task]]:
    """All tasks of the table with what the prior learns from, and the same with other seeds."""
    tasks = [Task(each) for each in read_table((GRADUATED, JOINT), table)]
    return tasks, [Task(each) for each in read_table((SEEDS,), table)]


def fitted_prior(version: str, tasks: Sequence[Task], repeats: Sequence[Task]) -> Prior:
    """A prior that knows some tasks.

    Args:
        version: Its name.
        tasks: What it is to know.
        repeats: The same with other seeds, by which chance is told from the rates' effect.
    """
    kernel = fit_kernel(_drawn(evidence_of(tasks, repeats=repeats), KERNEL_FINETUNES))
    return Prior(version, kernel, _some_of_each(evidence_of(tasks)))


def _drawn(evidence: Evidence, count: int) -> Evidence:
    rows = np.random.default_rng(0).permutation(len(evidence.values))[:count]
    return evidence.only(np.sort(rows))


def _some_of_each(evidence: Evidence) -> Evidence:
    """The first finetune of each task, which is the baseline, and others at random."""
    generator = np.random.default_rng(0)
    kept: list[int] = []
    for task in range(len(evidence.names)):
        first, *others = np.flatnonzero(evidence.tasks == task).tolist()
        kept += [first, *generator.permutation(others)[: FINETUNES_PER_TASK - 1].tolist()]
    return evidence.only(np.array(sorted(kept), dtype=np.int64))


if __name__ == "__main__":
    typer.run(main)
