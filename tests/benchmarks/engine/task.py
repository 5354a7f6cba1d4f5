"""The task that engine and script both run, laid out in one folder.

`task.zip` is what the service hands a worker; `train/` and `validation/` are the same images for
`ImageFolder`, split as the engine splits them. `head.safetensors` is the new last layer that both
start from, and `task.json` says the rest: the recipe, which images each batch of each epoch holds,
and the stage rates of every trial by name.
"""

import json
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Final

import safetensors.torch

import lrsearch
from lrsearch.contract.protocols import PAPER_SCALES, Graduated
from lrsearch.contract.rates import StageRates
from lrsearch.contract.recipes import Recipe
from lrsearch_worker.data.batches import batches
from lrsearch_worker.data.images import Images, ImageStore
from lrsearch_worker.data.splits import SplitName
from lrsearch_worker.engine.task import LoadedTask
from lrsearch_worker.weights import load

SHIPPED: Final = Path(lrsearch.__file__).parent
SOURCE: Final = SHIPPED / "sources" / "general.safetensors"
SILHOUETTES: Final = SHIPPED / "samples" / "silhouettes.zip"

ARCHIVE_FILE: Final = "task.zip"
HEAD_FILE: Final = "head.safetensors"
SETTINGS_FILE: Final = "task.json"
FINGERPRINT: Final = "0" * 64
"""Each run decodes into a folder of its own, so that nothing needs to be told apart."""

BASELINE: Final = "baseline"
GRADUATED: Final = tuple(f"scale {scale:g}" for scale in PAPER_SCALES)
SHARED_PREFIX: Final = tuple(f"shared scale {scale:g}" for scale in PAPER_SCALES)
STABLE: Final = tuple(f"scale {scale:g}" for scale in PAPER_SCALES if scale <= 2.5)
"""Trials whose curves do not magnify rounding differences until the accuracies part."""

IMAGES_PER_LABEL: Final = {200: 20, 2000: 200}
"""By training images, of ten labels."""
_GARMENTS_PER_LABEL: Final = 313
"""Leaves 200 to train on, after 63 to test and 50 to validate."""


def trial_rates() -> dict[str, StageRates]:
    """The 12 trials of the graduated protocol, and its 11 with conv1 … conv4 frozen; by name."""
    free, frozen = Graduated(), Graduated(multipliers=[(0.0, 0.0, 0.0, 0.0, 8.0, 16.0)])
    rates = {BASELINE: StageRates.of(inner=0.0, head=0.01)}
    for names, protocol in ((GRADUATED, free), (SHARED_PREFIX, frozen)):
        for name, scale in zip(names, PAPER_SCALES, strict=True):
            rates[name] = protocol.rates({"scale": scale})
    return rates


def write_task(folder: Path, archive: Path, recipe: Recipe, images_per_label: int) -> None:
    """Lay a task out in `folder`, which is made.

    Args:
        folder: Where; must not exist.
        archive: ZIP file whose entries are `label/filename`.
        recipe: With an input size, and without augmentation.
        images_per_label: Training images a label.
    """
    folder.mkdir(parents=True)
    (folder / ARCHIVE_FILE).write_bytes(archive.read_bytes())
    task = load_task(folder, recipe, images_per_label)
    _write_image_folder(folder, task, "train")
    _write_image_folder(folder, task, "validation")
    head = task.network().head.state_dict()
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in head.items()}, folder / HEAD_FILE
    )
    settings = {
        "recipe": recipe.model_dump(mode="json"),
        "images_per_label": images_per_label,
        "source": str(SOURCE),
        "width": task.spec.architecture.width,
        "mean": task.spec.mean,
        "std": task.spec.std,
        "labels": len(task.images.label_names),
        "order": [
            [positions.tolist() for positions in batches(*_order(task), epoch)]
            for epoch in range(recipe.epochs)
        ],
        "rates": {name: rates.model_dump() for name, rates in trial_rates().items()},
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(settings))


def read_settings(folder: Path) -> dict[str, Any]:
    """What `task.json` holds."""
    settings: dict[str, Any] = json.loads((folder / SETTINGS_FILE).read_text())
    return settings


def load_task(folder: Path, recipe: Recipe, images_per_label: int) -> LoadedTask:
    """The task as the engine has it: its archive decoded anew, the source's weights read."""
    return LoadedTask(_decoded(folder, recipe), load(SOURCE), recipe, images_per_label)


def write_garments(images: Path, archive: Path) -> None:
    """A ZIP file of 313 garments a label, from the folder that `tests.benchmarks.images` wrote.

    Raises:
        ValueError: There are no garments.
    """
    labels = sorted(path for path in (images / "garments").glob("*") if path.is_dir())
    if not labels:
        raise ValueError(
            f"{images} has no folder 'garments'; it is written by "
            f"`python -m tests.benchmarks.images fetch {images} --domains garments`"
        )
    with zipfile.ZipFile(archive, "w") as file:
        for label in labels:
            for path in sorted(label.iterdir())[:_GARMENTS_PER_LABEL]:
                file.write(path, f"{label.name}/{path.name}")


def _decoded(folder: Path, recipe: Recipe) -> Images:
    assert recipe.input_size is not None
    with tempfile.TemporaryDirectory() as store:  # the memory map outlives its file's name
        archive = folder / ARCHIVE_FILE
        return ImageStore(Path(store)).images(archive, FINGERPRINT, recipe.input_size)


def _order(task: LoadedTask) -> tuple[int, int, int]:
    return task.size("train"), task.recipe.batch_size, task.recipe.seed


def _write_image_folder(folder: Path, task: LoadedTask, split: SplitName) -> None:
    """`ImageFolder` sorts by label, then by name: so it counts the images as the engine does."""
    images = task.images
    with zipfile.ZipFile(folder / ARCHIVE_FILE) as file:
        for position, index in enumerate(getattr(task.indices, split).tolist()):
            name = PurePosixPath(images.names[index])
            path = folder / split / name.parts[0] / f"{position:06d}{name.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(images.names[index]))
