"""The canonical archive: the same bytes for the same labels, file names and contents."""

import os
import zipfile
from collections.abc import Collection
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from lrsearch.intake.statistics import LabelledImage

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN_FILE = 0o100644 << 16


class Spool:
    """Contents on their way into an archive, each kept once, one after the other in a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0

    def add(self, sha256: str, content: bytes) -> None:
        """Keep a content. Raises `OSError` where the disk is full."""
        if sha256 not in self._places:
            self._file.write(content)
            self._places[sha256] = (self._end, len(content))
            self._end += len(content)

    def read(self, sha256: str) -> bytes:
        """A content that was kept."""
        start, size = self._places[sha256]
        self._file.seek(start)
        return self._file.read(size)


def write_canonical(images: Collection[LabelledImage], spool: Spool, destination: Path) -> None:
    """Write a zip of entries `label/name`: stored, sorted, all of one date.

    It appears at `destination` whole or not at all.

    Raises:
        OSError: The disk is full; nothing is left.
    """
    with NamedTemporaryFile(
        dir=destination.parent, prefix=f".{destination.name}.", delete=False
    ) as file:
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                for image in sorted(images, key=lambda image: (image.label, image.name)):
                    archive.writestr(_entry(image), spool.read(image.facts.sha256))
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(destination)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _entry(image: LabelledImage) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{image.label}/{image.name}", _EPOCH)
    entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
    return entry
