"""Photographs of garments, grey on black, 28×28: Fashion-MNIST."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.packages import Packages

_GARMENTS = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


def _pictures(packages: Packages) -> Iterator[Picture]:
    folder = packages.debian("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    for part in ("train", "t10k"):
        images = _idx(folder / f"{part}-images-idx3-ubyte.gz", header_bytes=16).reshape(-1, 28, 28)
        labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz", header_bytes=8)
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            name = f"{part}-{number:05d}"
            yield Picture(_GARMENTS[label], name, name, Image.fromarray(pixels))


def _idx(path: Path, header_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


GARMENTS = Domain(
    name="garments",
    summary="Photographs of garments, grey on black; the label is the kind of garment (10).",
    packages=("Debian dataset-fashion-mnist",),
    licence="MIT",
    credit="Fashion-MNIST, copyright (c) 2017 Zalando SE",
    pictures=_pictures,
)
