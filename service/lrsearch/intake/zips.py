"""Zip archives, read warily."""

import io
import stat
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZipFile, ZipInfo

from lrsearch.intake.gate import Gate, parsing
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import File, Folder, Member, Members, UnreadFile

_PIECE_BYTES = 256 * 1024
_ENTRY_BYTES = 256
"""What a member takes in the zip's directory, at most and on average."""

_ENCRYPTED = 0x41
_UTF8 = 0x800


def zip_members(path: Path, gate: Gate, limits: IntakeLimits) -> Members:
    """The members of a zip, in the order of its directory.

    Bzip2, LZMA and Deflate64 inside of a zip are refused: nobody uses them for images, and the
    standard library unpacks the first two without a bound on memory.

    Raises:
        IntakeError: See `archive_members`.
    """
    with ExitStack() as opened:
        reader = opened.enter_context(_BoundedReader(path, gate, limits))
        with parsing(gate, "The zip archive"):
            archive = opened.enter_context(_opened(reader, gate))
        folders, files = _admitted(archive, path.stat().st_size, gate)
        stream = _members(archive, folders, files, gate, limits)
        return Members(stream, len(files), opened.pop_all())


def _opened(reader: io.BufferedReader, gate: Gate) -> ZipFile:
    try:
        return ZipFile(reader)
    except zipfile.BadZipFile as error:
        raise gate.error(
            "truncated",
            f"The upload begins like a zip but has no sound directory at its end ({error}): "
            "was it sent whole?",
        ) from error


def _admitted(
    archive: ZipFile, archive_bytes: int, gate: Gate
) -> tuple[list[str], list[tuple[ZipInfo, str]]]:
    folders: list[str] = []
    files: list[tuple[ZipInfo, str]] = []
    for info in archive.infolist():
        name = _name(info)
        _require_plain(info, name, gate)
        is_folder = name.endswith("/")  # the library's `is_dir` fails where a NUL begins the name
        path = gate.admit(name, is_folder=is_folder)
        if path is None:
            continue
        if is_folder:
            folders.append(path)
        else:
            files.append((info, path))
    if sum(info.compress_size for info in archive.infolist()) > archive_bytes:
        raise gate.error("bomb", "The zip's members overlap: together they exceed the archive.")
    return folders, files


def _require_plain(info: ZipInfo, name: str, gate: Gate) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if stat.S_ISLNK(kind):
        raise gate.error("link", f"{name!r} is a link: send the file itself.", name)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise gate.error("special_file", f"{name!r} is neither a file nor a folder.", name)
    if info.flag_bits & _ENCRYPTED:
        raise gate.error("encrypted", "The zip is encrypted: send it without a password.", name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise gate.error(
            "unknown_compression",
            f"{name!r} is compressed by method {info.compress_type}: store or deflate it.",
            name,
        )


def _name(info: ZipInfo) -> str:
    """A member's name as it was meant: macOS writes UTF-8 without saying so."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        try:
            return name.encode("cp437").decode()
        except UnicodeError:
            pass
    return name


def _members(
    archive: ZipFile,
    folders: list[str],
    files: list[tuple[ZipInfo, str]],
    gate: Gate,
    limits: IntakeLimits,
) -> Iterator[Member]:
    for path in folders:
        yield Folder(path)
    for info, path in files:
        with parsing(gate, f"{path!r} in the zip", path):
            member = _unpacked(archive, info, path, gate, limits)
        yield member


def _unpacked(
    archive: ZipFile, info: ZipInfo, path: str, gate: Gate, limits: IntakeLimits
) -> File | UnreadFile:
    content = bytearray()
    with archive.open(info) as file:
        while piece := file.read(_PIECE_BYTES):
            gate.weigh(len(piece))
            content += piece
            if len(content) > max(limits.ratio_floor_bytes, limits.max_ratio * info.compress_size):
                raise gate.error(
                    "bomb",
                    f"{path!r} unpacks to more than {limits.max_ratio} times its size.",
                    path,
                )
            if len(content) > limits.max_image_bytes:
                return UnreadFile(path, f"larger than {limits.max_image_bytes / MIB:.0f} MiB")
    return File(path, bytes(content))


class _BoundedReader(io.BufferedReader):
    """Refuses single reads that no honest zip asks for.

    `zipfile` reads the whole directory at once, however large the zip says that it is.
    """

    def __init__(self, path: Path, gate: Gate, limits: IntakeLimits) -> None:
        super().__init__(io.FileIO(path))
        self._gate = gate
        self._max_bytes = max(_PIECE_BYTES, limits.max_files * _ENTRY_BYTES)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self._max_bytes:
            raise self._gate.error(
                "too_many_files",
                f"The zip's directory claims {size} bytes; {self._max_bytes} are the limit.",
            )
        return super().read(size)
