"""Archives: zip and tar, read without trusting what they say of themselves.

Nothing is unpacked to the file system. Sizes are counted on the bytes that really come out, so a
header cannot lie, and a bomb is stopped when it begins to swell.
"""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from lrsearch.intake0.errors import IntakeError
from lrsearch.intake0.limits import MIB, IntakeLimits
from lrsearch.intake0.members import Member, is_ignored, require_distinct, safe_path

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    OverflowError,
    RuntimeError,
)
"""What the standard library raises on archives that are damaged or made to hurt."""


def archive_members(path: Path, limits: IntakeLimits) -> Iterator[Member]:
    """The files of a zip or a tar (plain, gz, bz2 or xz), recognised by content.

    Raises:
        IntakeError: unknown format, damage, unsafe paths, links, encryption, a bomb.
    """
    size = path.stat().st_size
    if size > limits.max_archive_bytes:
        raise IntakeError(
            "archive_too_large",
            f"the archive has {size} bytes; at most {limits.max_archive_bytes}",
        )
    meter = _Meter(size, limits)
    try:
        if zipfile.is_zipfile(path):
            yield from _zip_members(path, meter)
        else:
            yield from _tar_members(path, meter)
    except IntakeError:
        raise
    except _BROKEN as error:
        raise IntakeError(
            "archive_broken",
            f"the archive is damaged or was cut off: {type(error).__name__}: {error}; "
            "send it again",
        ) from error


class _Meter:
    """Counts what comes out of an archive."""

    def __init__(self, packed_bytes: int, limits: IntakeLimits) -> None:
        self.limits = limits
        self._packed, self._unpacked = max(1, packed_bytes), 0

    def read(self, file: IO[bytes], path: PurePosixPath) -> bytes:
        """The whole of a member, as long as it keeps within the limits."""
        content = bytearray()
        while chunk := file.read(MIB):
            content += chunk
            if len(content) > self.limits.max_image_bytes:
                raise IntakeError(
                    "file_too_large",
                    f"{path} is larger than {self.limits.max_image_bytes} bytes",
                    [str(path)],
                )
            self.count(len(chunk), path)
        return bytes(content)

    def count(self, size: int, path: PurePosixPath) -> None:
        """Add to what has come out; raises `IntakeError` for a bomb."""
        self._unpacked += size
        if self._unpacked > self.limits.max_unpacked_bytes:
            raise IntakeError(
                "archive_bomb",
                f"the archive unpacks to more than {self.limits.max_unpacked_bytes} bytes",
                [str(path)],
            )
        swelling = self._unpacked / self._packed
        if self._unpacked > self.limits.ratio_floor_bytes and swelling > self.limits.max_ratio:
            raise IntakeError(
                "archive_bomb",
                f"the archive swells to more than {self.limits.max_ratio:g} times its size; "
                "images do not",
                [str(path)],
            )


def _zip_members(path: Path, meter: _Meter) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        entries = []
        for info in archive.infolist():
            place = safe_path(info.filename, meter.limits)
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000, 0o040000):
                raise _not_a_file(place)
            if info.flag_bits & 0x1:
                raise IntakeError("archive_encrypted", f"{place} is encrypted", [str(place)])
            if not info.is_dir() and not is_ignored(place):
                entries.append((place, info))
        require_distinct((place for place, _ in entries), meter.limits)
        for place, info in entries:
            with archive.open(info) as file:
                yield Member(place, meter.read(file, place), len(entries))


def _tar_members(path: Path, meter: _Meter) -> Iterator[Member]:
    try:
        archive = tarfile.open(path, "r:*")  # noqa: SIM115 - closed below; opening has its own error
    except tarfile.ReadError as error:
        raise IntakeError(
            "archive_unknown", "the upload is neither a zip nor a tar archive (gz, bz2, xz)"
        ) from error
    with archive:
        seen: list[PurePosixPath] = []
        for info in archive:
            place = safe_path(info.name, meter.limits)
            if info.isdir():
                continue
            if not info.isreg():
                raise _not_a_file(place)
            if is_ignored(place):
                meter.count(info.size, place)
                continue
            seen.append(place)
            file = archive.extractfile(info)
            assert file is not None
            content = meter.read(file, place)
            if len(content) != info.size:
                raise IntakeError("archive_broken", f"{place} is cut off", [str(place)])
            yield Member(place, content, None)
        require_distinct(seen, meter.limits)


def _not_a_file(path: PurePosixPath) -> IntakeError:
    return IntakeError(
        "archive_link",
        f"{path} is a link or a device; only plain files and folders are taken",
        [str(path)],
    )
