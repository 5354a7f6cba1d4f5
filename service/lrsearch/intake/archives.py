"""Archives: zip and tar, plain or compressed, read member by member without writing anything."""

import tarfile
from pathlib import Path

from lrsearch.intake.errors import IntakeError
from lrsearch.intake.gate import Gate
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import Members
from lrsearch.intake.tars import tar_members
from lrsearch.intake.zips import zip_members

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\x89PNG": "a single image",
    b"\xff\xd8\xff": "a single image",
}


def archive_members(path: Path, limits: IntakeLimits) -> Members:
    """The members of an archive; its kind is told by its content, whatever it is called.

    Zips are read stored or deflated, tars plain or under gzip, bzip2 or xz. No member is ever
    written to a path of its own. A zip's paths are all checked here, before anything is unpacked.

    Args:
        path: The archive.
        limits: How much it may hold.

    Raises:
        IntakeError: Here or while the members are gone through: `archive_unknown_format`,
            `archive_too_large`, `archive_too_many_files`, `archive_bomb`, `archive_truncated`,
            `archive_corrupt`, `archive_encrypted`, `archive_unknown_compression`,
            `archive_unsafe_path`, `archive_path_too_long`, `archive_duplicate_path`,
            `archive_link` or `archive_special_file`.
    """
    size_bytes = path.stat().st_size
    if size_bytes > limits.max_archive_bytes:
        raise IntakeError(
            "archive_too_large",
            f"The archive has {size_bytes / MIB:.0f} MiB; "
            f"{limits.max_archive_bytes / MIB:.0f} MiB are the limit.",
        )
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    gate = Gate("archive", limits)
    if head.startswith(_ZIP):
        return zip_members(path, gate, limits)
    compression = _named(head, _COMPRESSIONS)
    if compression is None and not _begins_tar(head):
        what = _named(head, _FOREIGN) or ("no archive of a known kind" if head else "empty")
        raise IntakeError(
            "archive_unknown_format",
            f"The upload is {what}: "
            "send a zip, tar, tar.gz, tar.bz2 or tar.xz of one folder per label.",
        )
    return tar_members(path, compression, gate, limits)


def _named(head: bytes, by_beginning: dict[bytes, str]) -> str | None:
    return next((name for magic, name in by_beginning.items() if head.startswith(magic)), None)


def _begins_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # a tar of nothing; not in the stubs
        return True
    except tarfile.TarError:
        return False
    return True
