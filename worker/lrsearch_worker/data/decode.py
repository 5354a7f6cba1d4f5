"""Image files to arrays: decoded once, in parallel, into memory-mapped files."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Pixels = NDArray[np.uint8]
"""RGB images, shape `(images, side, side, 3)` or `(side, side, 3)`, 0 to 255."""

ReadFile = Callable[[], tuple[bytes, str]]
"""Reads a file: its content, and what errors call it."""

Progress = Callable[[int, int], None]
"""Told of work done and of all the work."""


class UnreadableImageError(ValueError):
    """A file that Pillow cannot decode; the message names it."""


def decode(data: bytes, side: int, name: str) -> Pixels:
    """Decode an image file to RGB and resize it to `side` × `side`.

    The camera's orientation tag is applied and transparency is laid on white. The aspect ratio is
    not kept: the whole image is squashed to the square with antialiased bilinear interpolation,
    as `ImageFolder` with `Resize((side, side))` would, so that nothing of a small picture is lost.

    Args:
        data: The file's content, in any format that Pillow reads.
        side: Pixels a side of the result.
        name: What errors call the file.

    Raises:
        UnreadableImageError: The content cannot be decoded.
    """
    try:
        with Image.open(BytesIO(data)) as file:
            file.draft("RGB", (2 * side, 2 * side))  # lets JPEG decode at a fraction of its size
            image = _rgb(ImageOps.exif_transpose(file))
    except Exception as error:  # Pillow's plugins raise nearly anything on broken files
        raise UnreadableImageError(f"{name} cannot be decoded as an image: {error}") from error
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def decode_all(
    files: Iterable[ReadFile],
    out: Pixels,
    progress: Progress = lambda done, total: None,
    threads: int | None = None,
) -> None:
    """Decode files in parallel (Pillow releases the interpreter lock) into `out`.

    Only a few files are in memory at a time, whatever their number.

    Args:
        files: One for each image, in order.
        out: Where the images go, shape `(images, side, side, 3)`.
        progress: Called after each image.
        threads: Decoding threads; by default one a core.

    Raises:
        UnreadableImageError: A file cannot be decoded.
    """
    threads = threads or os.cpu_count() or 1
    total, side = out.shape[:2]
    done = count(1)
    running: deque[Future[None]] = deque()

    def work(index: int, read: ReadFile) -> None:
        data, name = read()
        out[index] = decode(data, side, name)

    def finish_one() -> None:
        running.popleft().result()
        progress(next(done), total)

    with ThreadPoolExecutor(threads) as pool:
        for index, read in enumerate(files):
            if len(running) >= 4 * threads:
                finish_one()
            running.append(pool.submit(work, index, read))
        while running:
            finish_one()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.copy()
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        image = _eight_bit(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Grey values above 8 bits, scaled from 16 bits, where Pillow itself would clip them."""
    values = np.asarray(image, dtype=np.float64)
    if values.max(initial=0.0) > 255.0:
        values = values / 257.0
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8), mode="L")
