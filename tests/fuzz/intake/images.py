"""Hostile images: damaged ones, and some whose headers lie."""

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image

from tests.fuzz.intake.damage import damaged

SIZES = (0, 1, 7, 2_000, 65_535, 65_536, 1_000_000, 2**31 - 1, 2**31, 2**32 - 1)
"""Widths and heights, absurd ones included."""

LARGE = 2_100
"""Side of a picture with more pixels than the limits of the fuzz test allow."""


def hostile_image(images: Sequence[bytes], chance: random.Random) -> bytes:
    """An image file that is not what it should be."""
    return chance.choice(KINDS)(images, chance)


def _damaged(images: Sequence[bytes], chance: random.Random) -> bytes:
    return damaged(chance.choice(images), chance)


def _png_of_absurd_size(images: Sequence[bytes], chance: random.Random) -> bytes:
    """A PNG whose header is sound by its checksum, and whose pixels are not enough."""
    depth, colour = chance.choice(((1, 0), (8, 2), (8, 3), (16, 6), (16, 4), (8, 7), (3, 2)))
    header = struct.pack(
        ">IIBBBBB", chance.choice(SIZES), chance.choice(SIZES), depth, colour, 0, 0,
        chance.choice((0, 1, 9)),
    )  # fmt: skip
    pixels = zlib.compress(bytes(chance.choice((0, 10, 100_000, 3_000_000))))
    return b"".join(
        (b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND"))
    )


def _png_with_a_large_text(images: Sequence[bytes], chance: random.Random) -> bytes:
    """A compressed text, or colour profile, that unpacks to much more."""
    name = chance.choice((b"zTXt", b"iCCP", b"iTXt"))
    packed = zlib.compress(bytes(chance.choice((1_000, 3_000_000, 40_000_000))), 9)
    middle = b"key\0" + (b"\1\0\0\0" if name == b"iTXt" else b"\0")
    extra = _chunk(name, middle + packed) * chance.choice((1, 20))
    picture = _saved(Image.new("RGB", (8, 8)), "PNG")
    return picture[:33] + extra + picture[33:]


def _bmp_of_absurd_size(images: Sequence[bytes], chance: random.Random) -> bytes:
    content = bytearray(_saved(Image.new("RGB", (8, 8)), "BMP"))
    content[18:26] = struct.pack("<II", chance.choice(SIZES), chance.choice(SIZES))
    content[28:30] = struct.pack("<H", chance.choice((1, 4, 8, 16, 24, 32, 33)))
    content[30:34] = struct.pack("<I", chance.choice((0, 1, 2, 3, 99)))
    return bytes(content)


def _gif_of_absurd_size(images: Sequence[bytes], chance: random.Random) -> bytes:
    content = bytearray(_saved(Image.new("P", (8, 8)), "GIF"))
    content[6:10] = struct.pack("<HH", *(min(chance.choice(SIZES), 65_535) for _ in range(2)))
    return bytes(content)


def _jpeg_of_absurd_size(images: Sequence[bytes], chance: random.Random) -> bytes:
    content = bytearray(_saved(Image.new("RGB", (8, 8)), "JPEG"))
    frame = content.index(b"\xff\xc0")
    sizes = (min(chance.choice(SIZES), 65_535) for _ in range(2))
    content[frame + 5 : frame + 9] = struct.pack(">HH", *sizes)
    return bytes(content)


def _tiff_with_a_wild_directory(images: Sequence[bytes], chance: random.Random) -> bytes:
    """Entries of any kind, count and offset; the directory may lead back to itself."""
    entries = [
        struct.pack(
            "<HHII",
            chance.choice((256, 257, 258, 259, 262, 273, 277, 278, 279, 320, 322, 330, 34665)),
            chance.choice((1, 2, 3, 4, 5, 12, 13, 99)),
            chance.choice((0, 1, 2, 3, 1_000, 2**31, 2**32 - 1)),
            chance.choice((0, 1, 3, 8, 32, 50_000, 2**32 - 1)),
        )
        for _ in range(chance.randint(1, 14))
    ]
    body = struct.pack("<H", len(entries)) + b"".join(entries)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", chance.choice((0, 8, 10**6)))


def _large_picture(images: Sequence[bytes], chance: random.Random) -> bytes:
    """Sound, of few bytes and of too many pixels."""
    kind = chance.choice(("PNG", "GIF", "WEBP", "TIFF"))
    options = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    return _saved(Image.new("L", (LARGE, chance.choice((20, LARGE)))), kind, **options)


def _many_frames(images: Sequence[bytes], chance: random.Random) -> bytes:
    frames = [Image.new("L", (16, 16), shade % 256) for shade in range(chance.choice((3, 300)))]
    return _saved(
        frames[0], chance.choice(("GIF", "PNG", "WEBP")), save_all=True, append_images=frames[1:]
    )


def _something_else(images: Sequence[bytes], chance: random.Random) -> bytes:
    """No picture, or one in a format that is not taken, or one that begins as another."""
    picture = Image.new("RGB", (8, 8))
    return chance.choice(
        (
            b"",
            b"\0",
            b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run",
            b"P6\n99999 99999\n255\n",
            _saved(picture, "ICO"),
            _saved(picture, "PDF"),
            b"GIF89a" + chance.choice(images),
            b"\xff\xd8\xff" + chance.choice(images),
            chance.choice(images)[:32] + chance.choice(images)[32:],
        )
    )


Kind = Callable[[Sequence[bytes], random.Random], bytes]

KINDS: tuple[Kind, ...] = (
    *[_damaged] * 12,
    _png_of_absurd_size,
    _png_with_a_large_text,
    _bmp_of_absurd_size,
    _gif_of_absurd_size,
    _jpeg_of_absurd_size,
    _tiff_with_a_wild_directory,
    _large_picture,
    _many_frames,
    _something_else,
)


def _chunk(name: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
