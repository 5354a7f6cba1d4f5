"""Letters of three scripts, rendered from free fonts, grey, 32×32."""

from collections.abc import Iterator

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.faces import LATIN_CREDIT, LATIN_PACKAGES, LICENCE, draw, find_faces
from tests.benchmarks.images.packages import Packages

# A script leaves out letters that one before it draws alike: А, Α and A are one picture.
_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθικλμξπρσςτυφχψω"
_CYRILLIC = "БДЖЗИЛЦЧШЩЪЫЬЭЮЯбвгджзийлмнптфцчшщъыьэюя"


def _pictures(packages: Packages) -> Iterator[Picture]:
    for file in find_faces(packages, LATIN_PACKAGES):
        yield from draw(file, _LATIN + _GREEK + _CYRILLIC, sized_by="H")


LETTERS = Domain(
    name="letters",
    summary="Latin, Greek and Cyrillic letters, capital and small; the label is the letter (125).",
    packages=tuple(f"Debian {package}" for package in LATIN_PACKAGES),
    licence=LICENCE,
    credit=LATIN_CREDIT,
    pictures=_pictures,
)
