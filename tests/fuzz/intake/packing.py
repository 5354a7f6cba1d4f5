"""Archives of every kind, whatever their members are called."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable

Entries = list[tuple[str, bytes]]
"""Contents with their paths, of which some may come twice."""

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


def packed(entries: Entries, chance: random.Random) -> bytes:
    """An archive of any kind."""
    if chance.random() < 0.5:
        return zip_of(entries, chance)
    return PACKINGS[chance.choice(list(PACKINGS))](tar_of(entries, chance))


def zip_of(
    entries: Entries,
    chance: random.Random,
    compression: int | None = None,
    odd: tuple[str, int, str] | None = None,
) -> bytes:
    """A zip; `odd` is the name, mode and content of one more member, the first."""
    file = io.BytesIO()
    if compression is None:
        compression = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", compression) as archive:
        if odd is not None:
            member = zipfile.ZipInfo(odd[0])
            member.create_system, member.external_attr = 3, odd[1] << 16
            archive.writestr(member, odd[2])
        for path, content in entries:
            # Names of lone surrogates cannot be written, and `ZipInfo` would end one at a NUL.
            name = path.encode(errors="replace").decode()
            member = zipfile.ZipInfo(name.replace("\0", "?")[:65_000])
            member.compress_type = compression
            archive.writestr(member, content)
        archive.comment = chance.randbytes(chance.choice((0, 0, 0, 40, 65_000)))
    packed = file.getvalue()
    return packed.replace(b"cats/?", b"cats/\0") if b"cats/?" in packed else packed


def tar_of(
    entries: Entries,
    chance: random.Random,
    odd: tarfile.TarInfo | None = None,
    *,
    odd_first: bool = False,
    pax: dict[str, str] | None = None,
) -> bytes:
    """A tar of one of the three dialects; `pax` are extended headers of one of its members."""
    file = io.BytesIO()
    dialects = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
    dialect = tarfile.PAX_FORMAT if pax else chance.choice(dialects)
    with tarfile.open(fileobj=file, mode="w", format=dialect, errors="surrogateescape") as archive:
        if odd is not None and odd_first:
            archive.addfile(odd)
        for number, (path, content) in enumerate(entries):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            if path.endswith("/"):
                member.type, member.size = tarfile.DIRTYPE, 0
            if pax and number == 1:
                member.pax_headers = pax
            archive.addfile(member, io.BytesIO(content))
        if odd is not None and not odd_first:
            archive.addfile(odd)
    return file.getvalue()


def overlapping(chance: random.Random) -> bytes:
    """A zip whose directory names one member's bytes again and again."""
    content = bytearray(zip_of([("cats/0.png", bytes(200_000))], chance, zipfile.ZIP_DEFLATED))
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry, tail = bytes(content[start:end]), bytearray(content[end:])
    count = chance.choice((20, 300))
    directory = b"".join(
        entry.replace(b"cats/0.png", b"cats/%04d" % number + b"p") for number in range(count)
    )
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:16] = struct.pack("<I", len(directory))
    return bytes(content[:start]) + directory + bytes(tail)
