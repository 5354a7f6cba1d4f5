"""The images of a target data set: decoded once from its archive, kept memory-mapped."""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrsearch_worker.data.decode import Pixels, Progress, ReadFile, decode_all

PIXELS_FILE: Final = "pixels.npy"
INDEX_FILE: Final = "index.json"


@dataclass(frozen=True)
class Images:
    """Decoded images, in the order of their names."""

    pixels: Pixels
    """Memory-mapped, shape `(images, side, side, 3)`."""
    labels: NDArray[np.int64]
    """Index into `label_names`, shape `(images,)`."""
    label_names: list[str]
    """Sorted."""
    names: list[str]
    """`label/filename`, as in the archive."""
    hashes: list[str]
    """SHA-256 of each file's content."""

    @property
    def side(self) -> int:
        """Pixels a side."""
        return int(self.pixels.shape[1])


class ImageStore:
    """A folder of decoded data sets, addressed by fingerprint and pixels a side.

    Any number of processes may share one: a data set appears whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, fingerprint: str, side: int) -> Path:
        """Folder of a decoded data set, whether it is there or not; may be deleted at any time."""
        return self._folder / f"{fingerprint}-{side}"

    def images(
        self,
        archive: Path,
        fingerprint: str,
        side: int,
        progress: Progress = lambda done, total: None,
    ) -> Images:
        """The images of a data set, decoded on first use.

        Args:
            archive: ZIP file whose entries are `label/filename`; read only if need be.
            fingerprint: Of the data set's content.
            side: Pixels a side to resize to.
            progress: Told of images decoded.

        Raises:
            UnreadableImageError: An image cannot be decoded.
            ValueError: The archive is no ZIP file, holds no image, or one outside a label's folder.
        """
        target = self.path(fingerprint, side)
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            work = Path(tempfile.mkdtemp(dir=self._folder, prefix=".decoding-"))
            try:
                _decode_archive(archive, side, work, progress)
                _move(work, target)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return _open(target)


def _decode_archive(archive: Path, side: int, folder: Path, progress: Progress) -> None:
    try:
        opened = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{archive} is no ZIP file: {error}") from error
    with opened as file:
        names = sorted(info.filename for info in file.infolist() if not info.is_dir())
        if not names:
            raise ValueError(f"{archive} holds no images")
        for name in names:
            label, _, rest = name.partition("/")
            if not label or not rest:
                raise ValueError(
                    f"{archive} holds '{name}'; every entry must be named label/filename"
                )
        hashes = [""] * len(names)
        pixels = np.lib.format.open_memmap(
            folder / PIXELS_FILE, mode="w+", dtype=np.uint8, shape=(len(names), side, side, 3)
        )
        decode_all(_readers(file, names, hashes), pixels, progress)
        pixels.flush()
    (folder / INDEX_FILE).write_text(json.dumps({"names": names, "hashes": hashes}))


def _readers(file: zipfile.ZipFile, names: list[str], hashes: list[str]) -> Iterator[ReadFile]:
    """A reader for each image, which also notes its hash."""

    def read(index: int, name: str) -> tuple[bytes, str]:
        data = file.read(name)
        hashes[index] = hashlib.sha256(data).hexdigest()
        return data, name

    return (partial(read, index, name) for index, name in enumerate(names))


def _move(work: Path, target: Path) -> None:
    """Rename, unless another process was faster."""
    try:
        work.rename(target)
    except OSError:
        if not target.exists():
            raise


def _open(folder: Path) -> Images:
    index = json.loads((folder / INDEX_FILE).read_text())
    names: list[str] = index["names"]
    label_of = [name.partition("/")[0] for name in names]
    label_names = sorted(set(label_of))
    number = {label: i for i, label in enumerate(label_names)}
    return Images(
        pixels=np.load(folder / PIXELS_FILE, mmap_mode="r"),
        labels=np.array([number[label] for label in label_of], dtype=np.int64),
        label_names=label_names,
        names=names,
        hashes=index["hashes"],
    )
