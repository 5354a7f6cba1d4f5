"""`python -m tests.benchmarks.transfer`: what a source model is worth on a target data set.

Finetunes each source model at every graduated scale (the paper's section 4.3), and compares the
scale that validates best with the IL = 0 baseline, and with random initialisation at the uniform
rate that validates best.
"""

import tempfile
from pathlib import Path
from statistics import mean
from typing import Annotated, NamedTuple

import torch
import typer

from lrsearch.contract.protocols import PAPER_SCALES, Graduated
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe, Splits
from lrsearch.contract.sources import SourceSpec
from lrsearch_worker.data.images import Images, ImageStore
from lrsearch_worker.engine.finetune import DivergedError, Finetune
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.weights import Weights, load

_BASELINE = StageRates.of(inner=0.0, head=0.01)
_UNIFORM_RATES = (0.003, 0.01, 0.03, 0.1)


class Trial(NamedTuple):
    """What came of a finetune."""

    name: str
    validation_top1: float
    test_top1: float


def main(
    target: Annotated[Path, typer.Argument(help="ZIP file of one folder a label.")],
    sources: Annotated[list[Path], typer.Argument(help="Source models, safetensors.")],
    images_per_label: Annotated[list[int], typer.Option(help="Training images a label.")],
    seeds: Annotated[int, typer.Option(help="Repetitions, each with splits of its own.")] = 3,
    epochs: Annotated[int, typer.Option(help="Epochs of a finetune.")] = 20,
    test: Annotated[float, typer.Option(help="Share of the images that tests.")] = 0.6,
) -> None:
    """Print test top-1, mean over the seeds; what was chosen, in brackets, for each seed."""
    torch.set_num_threads(1)
    models = [load(path) for path in sources]
    # All sources are compared with one untrained network: the first one's.
    first = models[0].spec
    untrained = SourceSpec(architecture=first.architecture, input_size=first.input_size)
    recipes = [Recipe(epochs=epochs, seed=seed, splits=Splits(test=test)) for seed in range(seeds)]
    print("| images per label | start | IL = 0 | winner |\n| --- | --- | --- | --- |")
    for count in images_per_label:
        images = _decoded(target, first.input_size)
        random = [_best(_uniform(LoadedTask(images, untrained, r, count))) for r in recipes]
        print(f"| {count} | random | | {_summary(random)} |", flush=True)
        for path, model in zip(sources, models, strict=True):
            images = _decoded(target, model.spec.input_size)
            tasks = [LoadedTask(images, model, recipe, count) for recipe in recipes]
            baselines = [_trial(task, "baseline", _BASELINE) for task in tasks]
            winners = [_best(_graduated(task)) for task in tasks]
            baseline = mean(trial.test_top1 for trial in baselines)
            print(f"| {count} | {path.stem} | {baseline:.3f} | {_summary(winners)} |", flush=True)


def _summary(trials: list[Trial]) -> str:
    chosen = ", ".join(trial.name for trial in trials)
    return f"{mean(trial.test_top1 for trial in trials):.3f} ({chosen})"


def _uniform(task: LoadedTask) -> list[Trial]:
    return [_trial(task, f"rate {rate:g}", StageRates.of(rate, rate)) for rate in _UNIFORM_RATES]


def _graduated(task: LoadedTask) -> list[Trial]:
    protocol = Graduated()
    return [
        _trial(task, f"scale {scale:g}", protocol.rates({"scale": scale})) for scale in PAPER_SCALES
    ]


def _best(trials: list[Trial]) -> Trial:
    return max(trials, key=lambda trial: trial.validation_top1)


def _trial(task: LoadedTask, name: str, rates: StageRates) -> Trial:
    finetune = Finetune(task, rates)
    validation = 0.0
    try:
        for metrics in finetune.epochs():
            validation = metrics.val_top1
    except DivergedError:
        return Trial(name, 0.0, 0.0)
    weights = Weights(task.result_spec(), finetune.weights())
    return Trial(name, validation, task.evaluate(weights, "test").top1)


def _decoded(archive: Path, side: int) -> Images:
    with tempfile.TemporaryDirectory() as folder:
        return ImageStore(Path(folder)).images(archive, archive.stem, side)


if __name__ == "__main__":
    typer.run(main)
