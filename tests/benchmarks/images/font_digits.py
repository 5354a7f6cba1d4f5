"""Digits, rendered from the same faces as the letters, grey, 32×32."""

from collections.abc import Iterator

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.faces import LATIN_CREDIT, LATIN_PACKAGES, LICENCE, draw, find_faces
from tests.benchmarks.images.packages import Packages


def _pictures(packages: Packages) -> Iterator[Picture]:
    for file in find_faces(packages, LATIN_PACKAGES):
        yield from draw(file, "0123456789", sized_by="H")


FONT_DIGITS = Domain(
    name="font-digits",
    summary="Digits of many fonts, as large as the font's capitals; the label is the digit (10).",
    packages=tuple(f"Debian {package}" for package in LATIN_PACKAGES),
    licence=LICENCE,
    credit=LATIN_CREDIT,
    pictures=_pictures,
)
