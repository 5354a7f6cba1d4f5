"""The blob store: files addressed by the SHA-256 of their content, below one folder.

A blob appears whole or not at all, and is never changed. What nothing refers to any more is removed
by `collect`, after a grace in which an upload may still be linked.
"""

import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from anyio.to_thread import run_sync

from lrsearch.errors import TooLargeError, UnavailableError

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Blob:
    """A stored file."""

    sha256: str
    size_bytes: int


@dataclass
class Sweep:
    """What a look for garbage has found: what went, and what stayed."""

    files: int = 0
    bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0


class BlobStore:
    """Blobs below `root`; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self.incoming = root / "incoming"
        for folder in (self._blobs, self.incoming):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where a blob lies, whether or not it does."""
        return self._blobs / sha256[:2] / sha256

    async def receive(self, chunks: AsyncIterator[bytes], max_bytes: int) -> Blob:
        """Store a stream.

        Raises:
            TooLargeError: it is longer than `max_bytes`; nothing is kept.
            UnavailableError: the disk is full; nothing is kept.
        """
        with self._draft() as file:
            digest, size = hashlib.sha256(), 0
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise upload_too_large(max_bytes)
                await run_sync(file.write, chunk)
                digest.update(chunk)
            return await run_sync(self._keep, file, digest.hexdigest(), size)

    def add(self, source: Path) -> Blob:
        """Store a copy of a file."""
        with self._draft() as file, source.open("rb") as content:
            digest, size = hashlib.sha256(), 0
            while chunk := content.read(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            return self._keep(file, digest.hexdigest(), size)

    def remove(self, sha256: str) -> None:
        """Remove a blob that nothing refers to any more and nothing will."""
        self.path(sha256).unlink(missing_ok=True)

    def collect(
        self, referenced: set[str], grace_seconds: float, *, dry_run: bool = False
    ) -> Sweep:
        """Remove old blobs that nothing refers to, and drafts that a crash has left.

        Args:
            referenced: What must stay.
            grace_seconds: Age below which everything stays.
            dry_run: Only count what would go.
        """
        sweep = Sweep()
        oldest = time.time() - grace_seconds
        for path in [*self._blobs.glob("??/*"), *self.incoming.iterdir()]:
            try:
                status = path.stat()
                if not stat.S_ISREG(status.st_mode):
                    continue
                if path.name in referenced or status.st_mtime >= oldest:
                    sweep.kept_files += 1
                    sweep.kept_bytes += status.st_size
                    continue
                if not dry_run:
                    path.unlink()
                sweep.files += 1
                sweep.bytes += status.st_size
            except FileNotFoundError:  # another replica was faster
                continue
        return sweep

    @contextmanager
    def _draft(self) -> Iterator[IO[bytes]]:
        """A temporary file that is gone afterwards unless `_keep` moved it."""
        try:
            with NamedTemporaryFile(dir=self.incoming, delete=False) as file:
                try:
                    yield file
                finally:
                    Path(file.name).unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(
                detail=f"The blob store cannot take the file: {error.strerror}.",
                remedy="Make room below the service's data folder, then send it again.",
                code="store_unavailable",
            ) from error

    def _keep(self, file: IO[bytes], sha256: str, size: int) -> Blob:
        file.flush()
        os.fsync(file.fileno())
        path = self.path(sha256)
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            os.utime(path)  # begins its grace anew, so that it can be linked
        else:
            Path(file.name).rename(path)
        return Blob(sha256, size)


def upload_too_large(max_bytes: int) -> TooLargeError:
    """The error of an upload beyond the limit."""
    return TooLargeError(
        detail=f"body: is larger than {max_bytes} bytes, the most that an upload may have.",
        remedy="Send less, or have the administrator raise LRSEARCH_MAX_UPLOAD_BYTES.",
    )
