"""Probes of the suite: what is known of a task and a source before any finetune."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import lrsearch
from lrsearch.contract.probes import Probe
from lrsearch.contract.recipes import Recipe
from lrsearch_worker.data.images import ImageStore
from lrsearch_worker.engine.probe import probe
from lrsearch_worker.engine.task import LoadedTask, input_size
from lrsearch_worker.weights import load
from tests.benchmarks.tasks.build import files_of
from tests.benchmarks.tasks.suite import SuiteTask

SHIPPED = Path(lrsearch.__file__).parent / "sources"


def look(task: SuiteTask, source: str, recipe: Recipe, suite: Path, sources: Path) -> Probe:
    """The probe of a task as the service would store it with the job."""
    file = sources / f"{source}.safetensors"
    weights = load(file if file.exists() else SHIPPED / file.name)
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        archive = files_of(suite, task).user
        images = ImageStore(Path(folder)).images(
            archive, task.name, input_size(recipe, weights.spec)
        )
        return probe(LoadedTask(images, weights, recipe, task.images_per_label))


def append_probe(path: Path, known: dict[str, str | int], found: Probe) -> None:
    """Add a line: what was looked at, and the probe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({**known, "probe": found.model_dump(mode="json")}) + "\n")


def read_probes(path: Path) -> dict[tuple[str, str, int], Probe]:
    """By task, source and seed."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        (row["task"], row["source"], row["seed"]): Probe.model_validate(row["probe"])
        for row in rows
    }
