"""Images: one file's content, decoded as far as it takes to know that it is sound."""

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from lrsearch.intake.errors import storable

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that are taken, by Pillow's names. Of an animation the first frame counts."""

SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"
}  # fmt: skip
"""How the names of image files end, in lower case."""

_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of a readable image."""

    sha256: str
    """Of the file's content."""
    size_bytes: int
    """Of the file."""
    width: int
    """Pixels, as stored."""
    height: int
    """Pixels, as stored."""
    mode: str
    """Pillow's, as stored."""
    format: str
    """One of `FORMATS`."""


def inspect_image(content: bytes, max_pixels: int) -> ImageFacts | str:
    """Decode an image to its last byte.

    Args:
        content: The file's.
        max_pixels: Width × height from which it is not even tried.

    Returns:
        The facts, or why it cannot be read.
    """
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height, mode = image.width, image.height, image.mode
            if width * height > max_pixels:
                return f"{width}×{height} pixels; {max_pixels} are the limit"
            # A JPEG is read to its end all the same, but unfolded at an eighth of its size.
            image.draft(None, (1, 1))
            image.load()
            # Photographs with a second picture inside (MPO) are JPEGs to everybody else.
            kind = (image.format or "").replace("MPO", "JPEG")
    except UnidentifiedImageError:
        return "not an image in one of the formats " + ", ".join(FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        return storable(str(error) or type(error).__name__)[:_MAX_REASON]
    digest = sha256(content).hexdigest()
    return ImageFacts(digest, len(content), width, height, mode, kind)
