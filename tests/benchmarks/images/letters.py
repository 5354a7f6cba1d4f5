"""Letters of three scripts, rendered from free fonts, grey, 32×32."""

import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.packages import Packages

# A script leaves out letters that one before it draws alike: А, Α and A are one picture.
_LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GREEK = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθικλμξπρσςτυφχψω"
_CYRILLIC = "БДЖЗИЛЦЧШЩЪЫЬЭЮЯбвгджзийлмнптфцчшщъыьэюя"

_PACKAGES = (
    "fonts-adf-accanthis",
    "fonts-adf-baskervald",
    "fonts-adf-berenis",
    "fonts-adf-gillius",
    "fonts-adf-ikarius",
    "fonts-adf-irianis",
    "fonts-adf-libris",
    "fonts-adf-mekanus",
    "fonts-adf-oldania",
    "fonts-adf-romande",
    "fonts-adf-solothurn",
    "fonts-adf-switzera",
    "fonts-adf-tribun",
    "fonts-adf-universalis",
    "fonts-adf-verana",
    "fonts-aenigma",
    "fonts-bwht",
    "fonts-dancingscript",
    "fonts-dejavu-core",
    "fonts-dejavu-extra",
    "fonts-freefont-ttf",
    "fonts-georgewilliams",
    "fonts-gfs-didot",
    "fonts-gfs-neohellenic",
    "fonts-humor-sans",
    "fonts-kaushanscript",
    "fonts-kristi",
    "fonts-lato",
    "fonts-leckerli-one",
    "fonts-liberation2",
    "fonts-linuxlibertine",
    "fonts-lobster",
    "fonts-noto-core",
    "fonts-roboto-unhinted",
    "fonts-rufscript",
    "fonts-sjfonts",
    "fonts-urw-base35",
)
# Faces that draw other things where letters belong.
_NO_LETTERS = re.compile(
    r"D050000L|StandardSymbols|Symbol|Dingbat|Emoji|LinLibertine_[DI]R|Caliban"
)

_SIDE = 32
_OVERSAMPLING = 4
_CAPITAL_HEIGHT = 19 * _OVERSAMPLING
_BASELINE = 24 * _OVERSAMPLING
_ABSENT = chr(0x10FFFE)
"""Never a character, so what a font draws for it is its sign for what it lacks."""


def _pictures(packages: Packages) -> Iterator[Picture]:
    for package in _PACKAGES:
        folder = packages.debian(package)
        for file in sorted([*folder.rglob("*.ttf"), *folder.rglob("*.otf")]):
            if not _NO_LETTERS.search(file.name) and not file.is_symlink():
                yield from _face(file)


def _face(file: Path) -> Iterator[Picture]:
    font = _font(file)
    if font is None:
        return
    # Families are known by their first word, which may throw some together but parts none.
    group = str(font.getname()[0]).lower().split()[0]
    # Half of the faces are white on black.
    inverted = zlib.crc32(file.stem.encode()) % 2 == 0
    absent = bytes(font.getmask(_ABSENT))
    seen: set[bytes] = set()
    for letter in _LATIN + _GREEK + _CYRILLIC:
        mask = bytes(font.getmask(letter))
        # Blank, lacking, or the same as another letter (small capitals).
        if not any(mask) or mask == absent or mask in seen:
            continue
        seen.add(mask)
        image = _render(font, letter)
        label = unicodedata.name(letter).lower().replace(" letter ", " ").replace(" ", "-")
        yield Picture(label, file.stem, group, ImageOps.invert(image) if inverted else image)


def _font(file: Path) -> ImageFont.FreeTypeFont | None:
    """The face at the size at which its capital H has the wanted height, if it has one."""
    trial_size = 100
    try:
        font = ImageFont.truetype(file, trial_size)
        _, top, _, bottom = font.getbbox("H")
        if bottom - top < trial_size / 10 or bytes(font.getmask("H")) == bytes(
            font.getmask(_ABSENT)
        ):
            return None
        return ImageFont.truetype(file, round(trial_size * _CAPITAL_HEIGHT / (bottom - top)))
    except OSError:
        return None


def _render(font: ImageFont.FreeTypeFont, letter: str) -> Image.Image:
    side = _SIDE * _OVERSAMPLING
    left, top, right, bottom = font.getbbox(letter, anchor="ms")
    if right - left > 0.95 * side or bottom - top > 0.95 * side:
        # Too large for the canvas: a smaller size of the same face.
        shrink = 0.95 * side / max(right - left, bottom - top)
        font = font.font_variant(size=max(1, int(font.size * shrink)))
        left, top, right, bottom = font.getbbox(letter, anchor="ms")
    x = side / 2 - (left + right) / 2
    y = min(max(_BASELINE, -top), side - bottom)
    canvas = Image.new("L", (side, side), 255)
    ImageDraw.Draw(canvas).text((x, y), letter, fill=0, font=font, anchor="ms")
    return canvas.resize((_SIDE, _SIDE), Image.Resampling.BOX)


LETTERS = Domain(
    name="letters",
    summary="Latin, Greek and Cyrillic letters, capital and small; the label is the letter (125).",
    packages=tuple(f"Debian {package}" for package in _PACKAGES),
    licence=(
        "free fonts: OFL-1.1, Apache-2.0, Bitstream Vera, GPL with font exception, or the author's "
        "own free licence; pictures of their glyphs are not covered by it"
    ),
    credit=(
        "the fonts' authors, as named in each Debian package: among them Brian Kent (aenigma), the "
        "Arkandis Digital Foundry, Google (Noto, Roboto), Łukasz Dziedzic (Lato), URW++, the "
        "DejaVu, GNU FreeFont, Libertine and Liberation projects, the Greek Font Society and "
        "George Williams"
    ),
    pictures=_pictures,
)
