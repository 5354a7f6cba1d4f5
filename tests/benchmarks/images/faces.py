"""Faces of free fonts, and pictures of the glyphs that they draw."""

import re
import statistics
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from tests.benchmarks.images.domain import Picture
from tests.benchmarks.images.packages import Packages

LATIN_PACKAGES = (
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
LICENCE = (
    "free fonts: OFL-1.1, Apache-2.0, Bitstream Vera, GPL with font exception, or the author's "
    "own free licence; pictures of their glyphs are not covered by it"
)
LATIN_CREDIT = (
    "the fonts' authors, as named in each Debian package: among them Brian Kent (aenigma), the "
    "Arkandis Digital Foundry, Google (Noto, Roboto), Łukasz Dziedzic (Lato), URW++, the "
    "DejaVu, GNU FreeFont, Libertine and Liberation projects, the Greek Font Society and "
    "George Williams"
)

# Faces that draw other things where letters belong, or letters that can hardly be seen.
_NO_LETTERS = re.compile(
    r"D050000L|StandardSymbols|Symbol|Dingbat|Emoji|LinLibertine_[DI]R|Caliban"
    r"|KacstTitleL|ae_Haramain|BPG_DedEena_Block"
)
_FOUNDRY = re.compile(r"^(bpg|khmer os)\b")

_SIDE = 32
_OVERSAMPLING = 4
_USUAL_HEIGHT = 19 * _OVERSAMPLING
_BASELINE = 24 * _OVERSAMPLING
_TRIAL_SIZE = 100
_ABSENT = chr(0x10FFFE)
"""Never a character, so what a font draws for it is its sign for what it lacks."""


def find_faces(packages: Packages, names: tuple[str, ...]) -> Iterator[Path]:
    """The font files of the Debian packages `names`, less those that draw no letters."""
    for name in names:
        folder = packages.debian(name)
        for file in sorted([*folder.rglob("*.ttf"), *folder.rglob("*.otf")]):
            if not _NO_LETTERS.search(file.name) and not file.is_symlink():
                yield file


def draw(file: Path, characters: str, sized_by: str) -> Iterator[Picture]:
    """Yields a picture, grey, 32×32, of each of `characters` that the face draws.

    Nothing comes of a face that lacks more than a third of `sized_by`. Half of the faces are drawn
    white on black. The label is the character's Unicode name, the group the font family.

    Args:
        file: The font file.
        characters: What to draw. One drawn like an earlier one (small capitals) is left out.
        sized_by: Characters whose median height is made 19 pixels.
    """
    font = _font(file, sized_by)
    if font is None:
        return
    group = family(str(font.getname()[0]))
    inverted = zlib.crc32(file.stem.encode()) % 2 == 0
    seen: set[bytes] = set()
    for character, mask in _masks(font, characters).items():
        if mask in seen:
            continue
        seen.add(mask)
        image = _render(font, character)
        image = ImageOps.invert(image) if inverted else image
        yield Picture(label(character), file.stem, group, image)


def label(character: str) -> str:
    """`ARMENIAN SMALL LETTER AYB` → `armenian-small-ayb`; `DIGIT SEVEN` → `7`."""
    if character.isdigit():
        return str(unicodedata.digit(character))
    words = unicodedata.name(character).lower().split()
    return "-".join(word for word in words if word not in ("letter", "character"))


def family(name: str) -> str:
    """The family that a face of this name belongs to: its first word, in small letters.

    That may throw some families together but parts none. A first word that names a foundry with
    families of its own (`BPG Glaho`, `Khmer OS Bokor`) does not count.
    """
    words = name.lower().split()
    return (_FOUNDRY.sub("", " ".join(words)).split() or words)[0]


def _font(file: Path, sized_by: str) -> ImageFont.FreeTypeFont | None:
    """The face at the size at which the median height of `sized_by` is the wanted one."""
    try:
        font = ImageFont.truetype(file, _TRIAL_SIZE)
        boxes = [font.getbbox(character) for character in _masks(font, sized_by)]
        if len(boxes) < len(sized_by) * 2 / 3:
            return None
        height = statistics.median(bottom - top for _, top, _, bottom in boxes)
        if height < _TRIAL_SIZE / 10:
            return None
        return ImageFont.truetype(file, round(_TRIAL_SIZE * _USUAL_HEIGHT / height))
    except OSError:
        return None


def _masks(font: ImageFont.FreeTypeFont, characters: str) -> dict[str, bytes]:
    """What the face draws for each of `characters`; no entry for one that is blank or lacking."""
    absent = bytes(font.getmask(_ABSENT))
    masks = {character: bytes(font.getmask(character)) for character in characters}
    return {
        character: mask for character, mask in masks.items() if mask.strip(b"\0") and mask != absent
    }


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
