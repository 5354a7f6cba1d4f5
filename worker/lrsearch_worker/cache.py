"""What a worker has fetched and decoded: kept by content address, up to a limit."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from filelock import FileLock, Timeout

DAY_SECONDS: Final = 86_400.0

LOOK_SECONDS: Final = 0.5
"""How often one that waits for a held entry looks whether to give up."""


class Cache:
    """A folder that any number of workers may share.

    Each entry is a file or a folder `KIND/ADDRESS…`, where the address is a SHA-256. Beyond the
    limit, those that were not used for the longest time go; none that somebody holds.

    Args:
        folder: Made on first use.
        limit_bytes: Size that the entries may have together, save for those in use.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self._limit_bytes = limit_bytes

    @contextmanager
    def holding(self, address: str, give_up: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Hold all entries of an address: until the block ends, nobody else makes or removes them.

        Args:
            address: SHA-256 in hexadecimal.
            give_up: Asked while another holds them whether to stop waiting.

        Raises:
            filelock.Timeout: `give_up` said so.
        """
        lock = self._lock(address)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOOK_SECONDS)
            except Timeout:
                if give_up():
                    raise
        try:
            yield
        finally:
            lock.release()
        self._make_room()

    def file(self, path: Path, write: Callable[[BinaryIO], object]) -> Path:
        """The file at `path`, which the caller holds; `write` makes it if it is not there.

        What `write` raises leaves no file.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            try:
                with partial.open("wb") as file:
                    write(file)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        self.used(path)
        return path

    def used(self, path: Path) -> None:
        """Note that an entry is used now."""
        os.utime(path)

    def _lock(self, address: str) -> FileLock:
        locks = self.folder / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / address)

    def _make_room(self) -> None:
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for used_at, size, entry in entries:
            if entry.name.startswith("."):  # somebody makes it, or was killed over it
                removed = time.time() - used_at > DAY_SECONDS and _removed(entry)
            else:
                removed = total > self._limit_bytes and self._removed_unless_held(entry)
            total -= size * removed

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """When each was used last, its size in bytes and its path."""
        for kind in self.folder.iterdir():
            if not kind.is_dir() or kind.name == "locks":
                continue
            for entry in kind.iterdir():
                with suppress(FileNotFoundError):  # another worker has just removed it
                    yield entry.stat().st_mtime, _size(entry), entry

    def _removed_unless_held(self, entry: Path) -> bool:
        try:
            with self._lock(entry.name[:64]).acquire(timeout=0):
                return _removed(entry)
        except Timeout:
            return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(entry: Path) -> int:
    files = entry.rglob("*") if entry.is_dir() else [entry]
    return sum(file.stat().st_size for file in files if file.is_file())


def _removed(entry: Path) -> bool:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)
    return True
