"""Handwritten digits, white on black, 8×8: those that scikit-learn carries."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.packages import Packages

_BRIGHTEST = 16


def _pictures(packages: Packages) -> Iterator[Picture]:
    wheel = packages.pypi("scikit-learn", "1.9.1")
    # One row a digit: 64 pixels, then the label.
    rows = np.loadtxt(wheel / "sklearn/datasets/data/digits.csv.gz", delimiter=",", dtype=np.uint8)
    for number, row in enumerate(rows):
        name = f"{number:04d}"
        pixels = np.rint(row[:-1].reshape(8, 8) * (255 / _BRIGHTEST)).astype(np.uint8)
        yield Picture(str(row[-1]), name, name, Image.fromarray(pixels))


SMALL_DIGITS = Domain(
    name="small-digits",
    summary="Handwritten digits of 8×8 pixels, white on black; the label is the digit (10).",
    packages=("PyPI scikit-learn 1.9.1",),
    licence="BSD-3-Clause (the package that carries them); the data set itself is CC-BY-4.0",
    credit=(
        "Optical Recognition of Handwritten Digits by Ethem Alpaydin and Cenk Kaynak, UCI Machine "
        "Learning Repository (its test part), as carried by scikit-learn"
    ),
    pictures=_pictures,
)
