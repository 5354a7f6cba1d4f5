"""Archives: what is read, and what is refused with which error."""

import lzma
import random
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest

from lrsearch.intake.archives import archive_members
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import Folder, UnreadFile
from tests.intake.uploads import COMPRESS, Files, animals, files_in, read, refusal, tar_of, zip_of

Pack = Callable[[Files, Path], Path]

PACKS: dict[str, Pack] = {
    "deflated zip": zip_of,
    "stored zip": lambda files, path: zip_of(files, path, zipfile.ZIP_STORED),
    "tar": tar_of,
    "tar.gz": lambda files, path: tar_of(files, path, "gz"),
    "tar.bz2": lambda files, path: tar_of(files, path, "bz2"),
    "tar.xz": lambda files, path: tar_of(files, path, "xz"),
}


@pytest.fixture(params=PACKS)
def pack(request: pytest.FixtureRequest) -> Pack:
    return PACKS[request.param]


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """Where the test's archive goes; its name says nothing of its kind."""
    return tmp_path / "upload"


def tar_member(path: Path, **attributes: object) -> Path:
    member = tarfile.TarInfo("cats/1.png")
    for name, value in attributes.items():
        setattr(member, name, value)
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    return path


def zip_member(path: Path, mode: int) -> Path:
    member = zipfile.ZipInfo("cats/1.png")
    member.create_system, member.external_attr = 3, mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "/etc/passwd")
    return path


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311  # a test's data, no secret


def test_every_kind_of_archive_gives_the_same_files(pack: Pack, upload: Path) -> None:
    files = animals()
    assert files_in(pack(files, upload)) == files


def test_folders_are_members_even_when_empty(pack: Pack, upload: Path) -> None:
    assert read(pack({"cats/": b""}, upload)) == [Folder("cats")]


def test_leading_dots_and_doubled_slashes_are_dropped(pack: Pack, upload: Path) -> None:
    assert list(files_in(pack({"./cats//./1.png": b"x"}, upload))) == ["cats/1.png"]


def test_what_operating_systems_leave_behind_is_ignored(pack: Pack, upload: Path) -> None:
    litter = ["__MACOSX/cats/._1.png", "cats/.DS_Store", "cats/Thumbs.db", ".git/x.png", ".hidden"]
    assert files_in(pack(dict.fromkeys(litter, b"x") | {"cats/1.png": b"y"}, upload)) == {
        "cats/1.png": b"y"
    }


def test_decomposed_names_become_composed(pack: Pack, upload: Path) -> None:
    assert list(files_in(pack({"cafe\u0301/1.png": b"x"}, upload))) == ["caf\u00e9/1.png"]


def test_utf8_names_are_understood_in_a_zip_that_does_not_declare_them(upload: Path) -> None:
    zip_of({"caf\u00e9/1.png": b"x"}, upload)
    content = bytearray(upload.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + flags_at
        content[at : at + 2] = struct.pack("<H", 0)
    upload.write_bytes(content)
    assert list(files_in(upload)) == ["caf\u00e9/1.png"]


@pytest.mark.parametrize(
    "path",
    [
        "../x.png",
        "cats/../../x.png",
        "cats/..",
        "/etc/x.png",
        "//server/x.png",
        "C:/x.png",
        "c:x.png",
        "data/C:/x.png",
        "cats\\1.png",
        "..\\x.png",
        "cats/a\nb.png",
        "cats/\x1b[2J.png",
        "__MACOSX/../../x.png",
    ],
)
def test_unsafe_paths_are_refused_by_name(pack: Pack, upload: Path, path: str) -> None:
    error = refusal(lambda: read(pack({"cats/1.png": b"x", path: b"x"}, upload)))
    assert (error.code, error.paths) == ("archive_unsafe_path", [path])


def test_a_name_that_ends_at_a_nul_only_for_some_readers_is_refused(upload: Path) -> None:
    zip_of({"cats/1.png?/../x": b"x"}, upload)
    upload.write_bytes(upload.read_bytes().replace(b"1.png?", b"1.png\0"))
    assert refusal(lambda: read(upload)).code == "archive_unsafe_path"


def test_a_name_of_nul_alone_is_refused(upload: Path) -> None:
    zip_of({"QQQ": b"x"}, upload)
    upload.write_bytes(upload.read_bytes().replace(b"QQQ", b"\0\0\0"))
    assert refusal(lambda: read(upload)).code == "archive_unsafe_path"


def test_a_name_that_is_no_unicode_is_refused(upload: Path) -> None:
    tar_of({"cats/\udcff.png": b"x"}, upload)
    error = refusal(lambda: read(upload))
    assert (error.code, error.paths) == ("archive_unsafe_path", ["cats/\\udcff.png"])


def test_long_paths_are_refused(pack: Pack, upload: Path) -> None:
    error = refusal(lambda: read(pack({"cats/" + "x" * 500: b"x"}, upload)))
    assert error.code == "archive_path_too_long"


@pytest.mark.parametrize("again", ["cats//1.png", "./cats/1.png"])
def test_two_files_of_one_path_are_refused(pack: Pack, upload: Path, again: str) -> None:
    pack({"cats/1.png": b"x", again: b"y"}, upload)
    error = refusal(lambda: read(upload))
    assert (error.code, error.paths) == ("archive_duplicate_path", ["cats/1.png"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_repeats_a_name_is_refused(upload: Path) -> None:
    with zipfile.ZipFile(upload, "w") as archive:
        archive.writestr("cats/1.png", b"x")
        archive.writestr("cats/1.png", b"y")
    assert refusal(lambda: read(upload)).code == "archive_duplicate_path"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_in_a_tar_are_refused(upload: Path, kind: bytes) -> None:
    tar_member(upload, type=kind, linkname="/etc/passwd")
    error = refusal(lambda: read(upload))
    assert (error.code, error.paths) == ("archive_link", ["cats/1.png"])


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_and_pipes_in_a_tar_are_refused(upload: Path, kind: bytes) -> None:
    assert refusal(lambda: read(tar_member(upload, type=kind))).code == "archive_special_file"


def test_links_in_a_zip_are_refused(upload: Path) -> None:
    assert refusal(lambda: read(zip_member(upload, stat.S_IFLNK | 0o777))).code == "archive_link"


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_devices_and_pipes_in_a_zip_are_refused(upload: Path, kind: int) -> None:
    assert refusal(lambda: read(zip_member(upload, kind | 0o644))).code == "archive_special_file"


def test_encrypted_zips_are_refused(upload: Path) -> None:
    zip_of({"cats/1.png": b"x"}, upload)
    content = bytearray(upload.read_bytes())
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags_at] |= 1
    upload.write_bytes(content)
    assert refusal(lambda: read(upload)).code == "archive_encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zips_of_unbounded_compressions_are_refused(upload: Path, method: int) -> None:
    error = refusal(lambda: read(zip_of({"cats/1.png": b"x" * 99}, upload, method)))
    assert error.code == "archive_unknown_compression"


def test_a_deflate_bomb_is_refused_while_it_unpacks(upload: Path) -> None:
    zip_of({"cats/1.png": bytes(8 * MIB)}, upload)
    error = refusal(lambda: read(upload))
    assert (error.code, error.paths) == ("archive_bomb", ["cats/1.png"])


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_bomb_in_a_compressed_tar_is_refused(upload: Path, compression: str) -> None:
    tar_of({"cats/1.png": bytes(8 * MIB)}, upload, compression)
    assert refusal(lambda: read(upload)).code == "archive_bomb"


def test_small_files_may_compress_well(pack: Pack, upload: Path) -> None:
    files = {"cats/1.bmp": bytes(900_000)}
    assert files_in(pack(files, upload)) == files


def test_a_zip_whose_members_overlap_is_refused(upload: Path) -> None:
    content = noise(50_000)
    zip_of({"cats/1.png": content, "cats/2.png": b"x"}, upload, zipfile.ZIP_STORED)
    packed = bytearray(upload.read_bytes())
    second = packed.index(b"PK\x01\x02", packed.index(b"PK\x01\x02") + 1)
    packed[second + 20 : second + 24] = struct.pack("<I", len(content))
    upload.write_bytes(packed)
    assert refusal(lambda: read(upload)).code == "archive_bomb"


def test_what_is_unpacked_is_limited_whatever_headers_claim(pack: Pack, upload: Path) -> None:
    pack({f"cats/{i}.png": noise(100_000 + i) for i in range(5)}, upload)
    error = refusal(lambda: read(upload, IntakeLimits(max_unpacked_bytes=400_000)))
    assert error.code == "archive_too_large"


def test_the_archive_itself_is_limited(pack: Pack, upload: Path) -> None:
    pack(animals(), upload)
    error = refusal(lambda: read(upload, IntakeLimits(max_archive_bytes=100)))
    assert error.code == "archive_too_large"


def test_the_number_of_files_is_limited_ignored_ones_included(pack: Pack, upload: Path) -> None:
    pack({f"cats/.{i}": b"x" for i in range(4)}, upload)
    assert refusal(lambda: read(upload, IntakeLimits(max_files=3))).code == "archive_too_many_files"


def test_a_zip_directory_of_absurd_size_is_not_read(upload: Path) -> None:
    zip_of({f"cats/{'x' * 400}{i}.png": b"" for i in range(800)}, upload)
    error = refusal(lambda: read(upload, IntakeLimits(max_files=1000)))
    assert error.code == "archive_too_many_files"


def test_a_tar_header_of_absurd_size_is_not_read(upload: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    upload.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert refusal(lambda: read(upload)).code == "archive_corrupt"


def test_a_tar_header_of_negative_size_is_refused(upload: Path) -> None:
    header = tarfile.TarInfo("cats/1.png")
    header.size = -1024
    upload.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_240))
    assert refusal(lambda: read(upload)).code == "archive_corrupt"


def test_an_image_above_the_limit_is_passed_over(pack: Pack, upload: Path) -> None:
    pack({"cats/1.png": noise(3 * MIB), "cats/2.png": b"x"}, upload)
    members = read(upload, IntakeLimits(max_image_bytes=2 * MIB))
    assert members[0] == UnreadFile("cats/1.png", "larger than 2 MiB")
    assert len(members) == 2


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_archives_are_refused(pack: Pack, upload: Path, share: float) -> None:
    pack(animals(images_per_label=40), upload)
    upload.write_bytes(upload.read_bytes()[: int(upload.stat().st_size * share)])
    assert refusal(lambda: read(upload)).code == "archive_truncated"


def test_a_tar_cut_between_two_members_is_refused(upload: Path) -> None:
    tar_of({"cats/1.png": b"x", "cats/2.png": b"y"}, upload)
    upload.write_bytes(upload.read_bytes()[:2048])
    assert refusal(lambda: read(upload)).code == "archive_truncated"


def test_a_tar_with_a_damaged_header_in_its_middle_is_refused(upload: Path) -> None:
    tar_of({"cats/1.png": b"x", "cats/2.png": b"y"}, upload)
    content = bytearray(upload.read_bytes())
    content[1024] ^= 1
    upload.write_bytes(content)
    assert refusal(lambda: read(upload)).code == "archive_corrupt"


def test_a_zip_member_with_a_wrong_checksum_is_refused(upload: Path) -> None:
    zip_of({"cats/1.png": b"sound"}, upload, zipfile.ZIP_STORED)
    upload.write_bytes(upload.read_bytes().replace(b"sound", b"wrong"))
    error = refusal(lambda: read(upload))
    assert (error.code, error.paths) == ("archive_corrupt", ["cats/1.png"])


def test_a_gzip_with_a_wrong_checksum_is_refused(upload: Path) -> None:
    tar_of({"cats/1.png": b"x"}, upload, "gz")
    content = bytearray(upload.read_bytes())
    content[-6] ^= 1
    upload.write_bytes(content)
    assert refusal(lambda: read(upload)).code == "archive_corrupt"


def test_xz_streams_may_follow_each_other(upload: Path, tmp_path: Path) -> None:
    whole = tar_of({"cats/1.png": bytes(5000)}, tmp_path / "plain").read_bytes()
    upload.write_bytes(lzma.compress(whole[:3000]) + bytes(8) + lzma.compress(whole[3000:]))
    assert files_in(upload) == {"cats/1.png": bytes(5000)}


def test_xz_that_wants_too_much_memory_is_refused(upload: Path) -> None:
    packed = bytearray(lzma.compress(bytes(10_240), preset=0))
    header = slice(12, 12 + 4 * (packed[12] + 1))  # of the block, behind that of the stream
    dictionary = packed.index(b"\x21\x01", header.start) + 2
    packed[dictionary] = 34  # 512 MiB
    checksum = header.stop - 4
    packed[checksum : header.stop] = struct.pack("<I", crc32(packed[header.start : checksum]))
    upload.write_bytes(packed)
    error = refusal(lambda: read(upload))
    assert error.code == "archive_corrupt"
    assert "Memory usage limit" in error.message


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"nothing that we know" * 40, "no archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(600), "RAR"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "Zstandard"),
        (b"\x89PNG\r\n\x1a\n" + bytes(600), "single image"),
    ],
)
def test_other_kinds_are_named(upload: Path, content: bytes, what: str) -> None:
    upload.write_bytes(content)
    error = refusal(lambda: read(upload))
    assert error.code == "archive_unknown_format"
    assert what in error.message


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_compressed_file_that_is_no_tar_is_named(upload: Path, compression: str) -> None:
    upload.write_bytes(COMPRESS[compression](noise(2000)))
    assert refusal(lambda: read(upload)).code == "archive_unknown_format"


def test_a_zip_says_how_many_files_are_to_come(upload: Path) -> None:
    zip_of(animals() | {"bear/": b"", ".DS_Store": b""}, upload)
    with archive_members(upload, IntakeLimits()) as members:
        assert members.total_files == 12
