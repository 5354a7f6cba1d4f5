"""Animal silhouettes, white on black, 28×28."""

from collections.abc import Iterator

from PIL import Image

from tests.benchmarks.images.arrays import load_pickled_array
from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.packages import Packages

_ANIMALS = (
    "bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra",
)  # fmt: skip


def _pictures(packages: Packages) -> Iterator[Picture]:
    folder = packages.pypi("animal-mnist", "0.4") / "animal_mnist" / "data" / "Animal_MNIST"
    images = load_pickled_array(folder / "animal_data_version_3.gz")
    labels = load_pickled_array(folder / "animal_label_version_3.gz")
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{number:05d}"
        yield Picture(_ANIMALS[int(label)], name, name, Image.fromarray(pixels))


SILHOUETTES = Domain(
    name="silhouettes",
    summary="Silhouettes of animals, white on black; the label is the animal (10).",
    packages=("PyPI animal-mnist 0.4",),
    licence="MIT",
    credit="Animal-MNIST, copyright (c) 2025 SinaSR-6 (Sina Mohammadi)",
    pictures=_pictures,
)
