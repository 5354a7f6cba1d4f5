"""What is mutated: real images in every format and mode that intake takes."""

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from tests.benchmarks.images.packages import Packages
from tests.intake.uploads import animals

SIDE = 48
"""Photographs are made this large at most: small inputs are mutated where it matters."""


def drawings() -> list[bytes]:
    """Silhouettes that ship with the service: grey PNG of 28×28 pixels."""
    return list(animals(labels=4, images_per_label=5).values())


def photographs(cache: Path) -> list[bytes]:
    """Photographs of ImageNet and CIFAR, from a package that is fetched once into `cache`."""
    folder = Packages(cache).pypi("foolbox", "3.3.4") / "foolbox/data"
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
    return [path.read_bytes() for path in files if not path.name.startswith("mnist")]


def encodings(images: Iterable[bytes]) -> list[bytes]:
    """Each image as it is and in every other format: all kinds that intake knows."""
    made: list[bytes] = []
    for content in images:
        made.append(content)
        with Image.open(BytesIO(content)) as image:
            image.thumbnail((SIDE, SIDE))
            made.extend(_encoded(image.convert("RGB")))
    return made


def _encoded(image: Image.Image) -> Iterator[bytes]:
    mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    for mode, kind, options in ENCODINGS:
        several = {"append_images": mirrored} if "save_all" in options else {}
        file = BytesIO()
        if mode == "I;16":
            grey = image.convert("I").point(lambda value: value * 200)
            grey.convert("I;16").save(file, kind, **options)
        else:
            converted = [it.convert(mode) for it in several.get("append_images", [])]
            more = {"append_images": converted} if several else {}
            image.convert(mode).save(file, kind, **options, **more)
        yield file.getvalue()


def _exif() -> bytes:
    tags = Image.Exif()
    tags[0x0112] = 6  # lies on its side
    return tags.tobytes()


ENCODINGS: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("RGB", "JPEG", {"quality": 80}),
    ("RGB", "JPEG", {"progressive": True, "exif": _exif()}),
    ("CMYK", "JPEG", {}),
    ("RGB", "MPO", {"save_all": True}),
    ("RGBA", "PNG", {}),
    ("P", "PNG", {}),
    ("1", "PNG", {}),
    ("I;16", "PNG", {}),
    ("RGB", "PNG", {"save_all": True}),
    ("RGB", "WEBP", {"quality": 60}),
    ("RGBA", "WEBP", {"lossless": True, "save_all": True}),
    ("RGB", "BMP", {}),
    ("P", "BMP", {}),
    ("P", "GIF", {"save_all": True}),
    ("RGB", "TIFF", {}),
    ("L", "TIFF", {"compression": "tiff_lzw"}),
    ("RGB", "TIFF", {"compression": "tiff_deflate", "save_all": True}),
    ("1", "TIFF", {"compression": "group4"}),
)
"""Modes, formats and options."""
