"""Looking at one image file: can it be decoded, and what is it?"""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from lrsearch.intake0.limits import IntakeLimits

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@dataclass(frozen=True)
class ImageFacts:
    """What a readable image is."""

    width: int
    height: int
    format: str
    mode: str


def inspect_image(content: bytes, limits: IntakeLimits) -> ImageFacts | str:
    """Decode an image whole; returns what it is, or why it cannot be read."""
    if not content:
        return "the file is empty"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about damage that they can live with
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > limits.max_image_pixels:
                    return f"{image.width} × {image.height} pixels are too many"
                facts = ImageFacts(image.width, image.height, image.format or "", image.mode)
                image.load()
                return facts
    except UnidentifiedImageError:
        return f"not an image in a known format ({', '.join(FORMATS)})"
    except Exception as error:  # decoders raise whatever comes to hand on damaged files
        return f"damaged or cut off: {type(error).__name__}: {error}"
