"""Tar archives, plain or compressed, read warily."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tarfile import BLOCKSIZE, TarFile, TarInfo
from typing import TYPE_CHECKING, BinaryIO

from lrsearch.intake.gate import Gate, parsing
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import File, Folder, Member, Members, UnreadFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE_BYTES = 64 * 1024
_XZ_MEMORY_BYTES = 256 * MIB

UNPACK: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {
    "gzip": lambda packed: gzip.GzipFile(fileobj=packed),
    "bzip2": lambda packed: bz2.BZ2File(packed),
    "xz": lambda packed: io.BufferedReader(_Xz(packed), _PIECE_BYTES),
}
"""Readers of compressed files, by compression."""


def tar_members(path: Path, compression: str | None, gate: Gate, limits: IntakeLimits) -> Members:
    """The members of a tar, in their order.

    Args:
        path: The archive.
        compression: One of `UNPACK`; None for a plain tar.
        gate: Admits the members.
        limits: How much it may hold.

    Raises:
        IntakeError: See `archive_members`.
    """
    with ExitStack() as opened:
        packed = opened.enter_context(path.open("rb"))
        unpacked = (
            packed if compression is None else opened.enter_context(UNPACK[compression](packed))
        )
        stream = _Stream(packed, unpacked, gate, limits)
        return Members(_members(stream, gate, limits), None, opened.pop_all())


def _members(stream: "_Stream", gate: Gate, limits: IntakeLimits) -> Iterator[Member]:
    with parsing(gate, "The tar archive"):
        archive = _opened(stream, gate)
    while (info := _next(archive, gate)) is not None:
        with parsing(gate, f"{info.name!r} in the tar", info.name):
            member = _member(info, stream, gate, limits)
        if member is not None:
            yield member
    with parsing(gate, "The tar archive"):
        stream.finish()


def _opened(stream: "_Stream", gate: Gate) -> TarFile:
    try:
        return TarFile(fileobj=stream)
    except tarfile.ReadError as error:
        raise gate.error(
            "unknown_format", f"The upload unpacks to something that is no tar archive: {error}."
        ) from error


def _next(archive: TarFile, gate: Gate) -> TarInfo | None:
    with parsing(gate, "The tar archive"):
        info = archive.next()
    # It would keep every header until the end; the stubs know nothing of it.
    archive.members.clear()  # type: ignore[attr-defined]
    return info


def _member(info: TarInfo, stream: "_Stream", gate: Gate, limits: IntakeLimits) -> Member | None:
    if info.issym() or info.islnk():
        raise gate.error("link", f"{info.name!r} is a link: send the file itself.", info.name)
    if not info.isdir() and (not info.isreg() or info.issparse()):
        raise gate.error(
            "special_file", f"{info.name!r} is neither a plain file nor a folder.", info.name
        )
    path = gate.admit(info.name, is_folder=info.isdir())
    if path is None:
        return None
    if info.isdir():
        return Folder(path)
    if info.size > limits.max_image_bytes:
        return UnreadFile(path, f"larger than {limits.max_image_bytes / MIB:.0f} MiB")
    return File(path, b"".join(stream.pieces(info.size)))


class _Stream(io.BufferedIOBase):
    """The unpacked bytes of a tar, read forwards only, counted, and in pieces of bounded size.

    `tarfile` stops silently at a damaged header and at an early end, and reads extended headers
    whole, however large they say that they are. Here an early end is always an error, as a sound
    tar ends with a block of zeros, which `finish` demands.
    """

    def __init__(
        self,
        packed: BinaryIO,
        unpacked: BinaryIO | io.BufferedIOBase,
        gate: Gate,
        limits: IntakeLimits,
    ) -> None:
        self._packed = packed
        self._unpacked = unpacked
        self._gate = gate
        self._limits = limits
        self._position = 0
        self._last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        """Exactly `size` bytes.

        Raises:
            EOFError: The stream ends before.
            IntakeError: A limit is reached.
        """
        if size is None or not 0 <= size <= _PIECE_BYTES:
            raise self._gate.error(
                "corrupt", f"A header in the tar claims {size} bytes; {_PIECE_BYTES} are the limit."
            )
        self._last = self._unpacked.read(size)
        if len(self._last) < size:
            raise EOFError
        self._count(size)
        return self._last

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, piece by piece."""
        while size > 0:
            piece = self.read(min(size, _PIECE_BYTES))
            size -= len(piece)
            yield piece

    def tell(self) -> int:
        """How many bytes have been read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Skip forwards to an offset from the start."""
        if offset < self._position:
            raise self._gate.error("corrupt", "A header in the tar claims a negative size.")
        for _ in self.pieces(offset - self._position):
            pass
        return self._position

    def finish(self) -> None:
        """Check that the tar ended properly, and read on to the end for the checksum there."""
        if self._last != bytes(BLOCKSIZE):
            raise tarfile.ReadError("a header is not what it should be")
        while piece := self._unpacked.read(_PIECE_BYTES):
            self._count(len(piece))

    def _count(self, size: int) -> None:
        self._position += size
        self._gate.weigh(size)
        if self._unpacked is self._packed or self._position <= self._limits.ratio_floor_bytes:
            return
        if self._position > self._limits.max_ratio * self._packed.tell():
            raise self._gate.error(
                "bomb", f"The archive unpacks to more than {self._limits.max_ratio} times its size."
            )


class _Xz(io.RawIOBase):
    """An xz file, of one or more streams; its decoder's memory is bounded, `LZMAFile`'s is not."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._decoder = _xz_decoder()
        self._pending = b""

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as the next piece goes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        while True:
            if self._decoder.eof:
                self._pending = self._after_padding(self._decoder.unused_data)
                if not self._pending:
                    return 0
                self._decoder = _xz_decoder()
            elif self._decoder.needs_input and not self._pending:
                self._pending = self._packed.read(_PIECE_BYTES)
                if not self._pending:
                    raise EOFError
            piece = self._decoder.decompress(self._pending, len(view))
            self._pending = b""
            if piece:
                view[: len(piece)] = piece
                return len(piece)

    def _after_padding(self, data: bytes) -> bytes:
        while not (data := data.lstrip(b"\0")):
            data = self._packed.read(_PIECE_BYTES)
            if not data:
                break
        return data


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
