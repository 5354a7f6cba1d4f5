"""Hostile archives: damaged ones, and some whose members, names, sizes or links are meant badly."""

import gzip
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence

from tests.fuzz.intake.damage import damaged
from tests.fuzz.intake.images import hostile_image
from tests.fuzz.intake.names import NAMES
from tests.fuzz.intake.packing import PACKINGS, Entries, overlapping, packed, tar_of, zip_of

LINKS = ("/etc/passwd", "../../../../etc/passwd", "cats", ".", "1.png", "")

BOMB_BYTES = 12 * 1024 * 1024
"""That a bomb unpacks to: more than the limits of the fuzz test allow."""


def hostile_archive(images: Sequence[bytes], chance: random.Random) -> tuple[str, bytes]:
    """An archive that is not what it should be, and what was done to it."""
    kind = chance.choice(KINDS)
    return kind.__name__, kind(_entries(images, chance), images, chance)


def _entries(images: Sequence[bytes], chance: random.Random) -> Entries:
    return [
        (f"{label}/{number}.png", chance.choice(images))
        for label in ("cats", "dogs", "elks")[: chance.randint(2, 3)]
        for number in range(chance.randint(2, 5))
    ]


def damaged_archive(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Bytes are changed, whatever they mean."""
    return damaged(packed(entries, chance), chance)


def damaged_below_the_compression(
    entries: Entries, images: Sequence[bytes], chance: random.Random
) -> bytes:
    """A sound compression of a damaged tar."""
    return PACKINGS[chance.choice(list(PACKINGS))](damaged(tar_of(entries, chance), chance))


def hostile_images(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """A sound archive; most of its images are not."""
    entries = [
        (path, hostile_image(images, chance) if chance.random() < 0.6 else content)
        for path, content in entries
    ]
    return packed(entries, chance)


def one_hostile_image(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """So few that the others are taken."""
    more = [(f"dogs/more{number}.png", image) for number, image in enumerate(images[:10])]
    return packed([*entries, *more, ("dogs/bad.png", hostile_image(images, chance))], chance)


def hostile_names(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Members that want to lie elsewhere, come twice, or are called oddly."""
    for _ in range(chance.randint(1, 3)):
        entries.insert(
            chance.randrange(len(entries) + 1), (chance.choice(NAMES), chance.choice(images))
        )
    return packed(entries, chance)


def links_and_devices(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Links, before and behind the files that would go through them, devices and pipes."""
    if chance.random() < 0.5:
        mode = chance.choice((stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK, 0o170000))
        return zip_of(entries, chance, odd=("cats", mode | 0o777, chance.choice(LINKS)))
    types = (
        *(tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE),
        *(tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.AREGTYPE, b"V", b"Z", b"\xff"),
    )
    link = tarfile.TarInfo(chance.choice(("cats", "cats/1.png", "dogs/l.png")))
    link.type, link.linkname = chance.choice(types), chance.choice(LINKS)
    return tar_of(entries, chance, odd=link, odd_first=chance.random() < 0.5)


def lying_sizes(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Headers that claim other sizes, offsets and numbers of members than there are."""
    if chance.random() < 0.6:
        content = bytearray(zip_of(entries, chance))
        signature, fields = chance.choice(
            (
                (b"PK\x03\x04", ((8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))),
                (b"PK\x01\x02", ((10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4))),
                (b"PK\x05\x06", ((8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            )
        )
        for _ in range(chance.randint(1, 3)):
            start = content.index(signature)
            if chance.random() < 0.5:
                start = content.rindex(signature)
            offset, size = chance.choice(fields)
            lie = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 1000))
            content[start + offset : start + offset + size] = lie.to_bytes(size, "little")
        return bytes(content)
    content = bytearray(tar_of(entries, chance))
    start = chance.randrange(len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    sizes = (
        *(b"77777777777\0", b"00000000000\0", b"-0000000001\0", b"99999999999\0"),
        *(b"\x80" + bytes(3) + b"\xff" * 8, b"\xff" * 12, b"            "),
    )
    content[start + 124 : start + 136] = chance.choice(sizes)
    header = content[start : start + tarfile.BLOCKSIZE]
    header[148:156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(content)


def extended_headers(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """PAX headers that rename, resize or overflow what follows."""
    headers = {
        "path": chance.choice(NAMES),
        "size": chance.choice(("-1", "0", "99999999999999", "1e9", "\u0661", "x")),
        "GNU.sparse.major": chance.choice(("0", "1", "99")),
        "GNU.sparse.map": "0,1," * chance.choice((1, 5000)),
        "GNU.sparse.realsize": str(2**62),
        "linkpath": "/etc/passwd",
        "hdrcharset": chance.choice(("BINARY", "ISO-IR 10646 2000 UTF-8")),
        "comment": "x" * chance.choice((10, 70_000, 2_000_000)),
    }
    chosen = chance.sample(list(headers), chance.randint(1, 3))
    return tar_of(entries, chance, pax={name: headers[name] for name in chosen})


def bomb(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Little that unpacks to much."""
    zeros = bytes(BOMB_BYTES)
    kind = chance.randrange(5)
    if kind == 0:
        return zip_of([*entries, ("cats/bomb.png", zeros)], chance, zipfile.ZIP_DEFLATED)
    if kind == 1:
        pack = PACKINGS[chance.choice(["tar.gz", "tar.bz2", "tar.xz"])]
        return pack(tar_of([*entries, ("cats/bomb.png", zeros)], chance))
    if kind == 2:  # many members that are the same bytes of the archive
        return overlapping(chance)
    if kind == 3:
        return zip_of(entries, chance) + b"\0" * 3_000_000
    return gzip.compress(tar_of(entries, chance) + zeros)


def many_members(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """More than the limits of the fuzz test allow, or nearly."""
    count = chance.choice((400, 3000))
    many = [(f"cats/{number}{chance.choice(('', '/', '.png'))}", b"") for number in range(count)]
    return packed(entries + many, chance)


def nested(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """Archives in archives, and one behind the other."""
    inner = packed(entries, chance)
    if chance.random() < 0.5:
        return packed([*entries, ("cats/inner.png", inner), ("dogs/inner.zip", inner)], chance)
    return inner + packed(entries, chance)


def compressed_twice(entries: Entries, images: Sequence[bytes], chance: random.Random) -> bytes:
    """A compressed tar, compressed again, in two streams, or without a tar in it."""
    pack = PACKINGS[chance.choice(["tar.gz", "tar.bz2", "tar.xz"])]
    tar = tar_of(entries, chance)
    half = len(tar) // 2
    return chance.choice(
        (
            lambda: pack(pack(tar)),
            lambda: pack(tar[:half]) + pack(tar[half:]),
            lambda: pack(b"".join(content for _, content in entries)),
            lambda: pack(tar) + chance.randbytes(100),
            lambda: pack(b""),
        )
    )()


Kind = Callable[[Entries, Sequence[bytes], random.Random], bytes]

KINDS: tuple[Kind, ...] = (
    *[damaged_archive] * 6,
    *[damaged_below_the_compression] * 2,
    *[hostile_images] * 5,
    *[one_hostile_image] * 5,
    *[hostile_names] * 3,
    *[links_and_devices] * 2,
    *[lying_sizes] * 3,
    *[extended_headers] * 2,
    bomb,
    many_members,
    nested,
    compressed_twice,
)
