"""What a domain of real images is: a licence, a credit, and a way to its labelled pictures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from tests.benchmarks.images.packages import Packages

SIDE = 64
"""Largest side of a stored picture, in pixels."""


class Picture(NamedTuple):
    """One labelled image."""

    label: str
    """Folder name of its label."""
    name: str
    """File name within the label, without suffix."""
    group: str
    """Pictures of one group belong on one side of a split (an emoji's artists, a font's faces)."""
    image: Image.Image
    """Mode `L` or `RGB`, at most `SIDE` pixels a side."""


@dataclass(frozen=True)
class Domain:
    """A kind of images, with all that must be said when they, or what derives from them, ship."""

    name: str
    """Name of its folder."""
    summary: str
    """What the images show, and what their labels are."""
    packages: tuple[str, ...]
    """Where the images come from."""
    licence: str
    """Licence of the images."""
    credit: str
    """Whom to credit, in the words to print."""
    pictures: Callable[[Packages], Iterator[Picture]]
    """Yields all of its pictures, always in the same order."""


def fit(image: Image.Image, side: int = SIDE) -> Image.Image:
    """The image on white, cropped to what is not transparent, padded square and scaled to `side`.

    Args:
        image: Any mode; transparency is honoured.
        side: Pixels a side of the result, which is `RGB`.
    """
    image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").getbbox() or (0, 0, *image.size))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (side, side), "white")
    corner = ((side - image.width) // 2, (side - image.height) // 2)
    square.paste(image, corner, image)
    return square
