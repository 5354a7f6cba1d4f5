"""Data sets on their way to the service: one archive, read in pieces."""

import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lrsearch.client.errors import ClientError

OnProgress = Callable[[int, int], None]
"""Is told how many bytes have been sent, of how many."""

_ARCHIVE_SUFFIX = re.compile(r"(\.tar)?\.[A-Za-z0-9]{2,4}$")

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")

_PIECE_BYTES = 256 * 1024


def name_of(path: Path) -> str:
    """What to call the data set of a folder or an archive: a valid name made of its last part."""
    path = path.resolve()
    stem = _ARCHIVE_SUFFIX.sub("", path.name) if path.is_file() else path.name
    return _NOT_IN_NAMES.sub("-", stem).strip("-._")[:100] or "data-set"


@contextmanager
def archive_of(path: Path) -> Iterator[Path]:
    """A file that holds the data set: the archive itself, or a folder packed for the occasion.

    Hidden files and folders of a folder (whose names begin with a dot) are left out.

    Raises:
        ClientError: There is nothing at `path`, or the folder holds no file.
    """
    if path.is_file():
        yield path
    elif path.is_dir():
        with TemporaryDirectory(prefix="lrsearch-") as folder:
            archive = Path(folder) / "data-set.zip"
            _pack(path, archive)
            yield archive
    else:
        raise ClientError(f"There is no folder and no archive at {path}.")


def pieces_of(path: Path, on_progress: OnProgress | None = None) -> Iterator[bytes]:
    """The content of a file, piece by piece; `on_progress` hears of each piece once it is sent."""
    total = path.stat().st_size
    sent = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
            sent += len(piece)
            if on_progress is not None:
                on_progress(sent, total)


def _pack(folder: Path, archive: Path) -> None:
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _hidden(path.relative_to(folder))
    ]
    if not files:
        raise ClientError(f"The folder {folder} holds no file.")
    # Images are compressed already: to deflate them again costs time and saves nothing. No times
    # are kept, so that the same images make the same archive.
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
