"""Archives that are broken or made to hurt: refused whole, with what is to blame by name."""

import io
import stat
import tarfile
import zipfile
from itertools import count

import pytest

from lrsearch.contract.datasets import DataSet
from tests.api.conftest import uploaded
from tests.api.samples import silhouettes, zip_of
from tests.api.serving import Api

_numbers = count()


def rejection(api: Api, archive: bytes) -> DataSet:
    """What becomes of an archive that must not become a data set."""
    sent = uploaded(api, f"archive-{next(_numbers)}", archive)
    data_set = DataSet.model_validate(sent)
    assert data_set.state == "rejected"
    assert data_set.reason == data_set.problems[0].message
    return data_set


def tar_of(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]  # any
        for path, content in silhouettes(labels=2, images=3).items():
            archive.addfile(_member(path, len(content)), io.BytesIO(content))
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _member(
    path: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.size, member.type, member.linkname = size, kind, link
    return member


def zip_with(path: str, content: bytes = b"x", mode: int = 0o100644) -> bytes:
    """A sound zip with one member more."""
    packed = io.BytesIO(zip_of(silhouettes(labels=2, images=3)))
    with zipfile.ZipFile(packed, "a") as archive:
        member = zipfile.ZipInfo(path)
        member.create_system, member.external_attr = 3, mode << 16
        archive.writestr(member, content)
    return packed.getvalue()


@pytest.mark.parametrize(
    "path",
    ["../up.png", "bear/../../up.png", "/etc/up.png", "C:/up.png", "bear\\up.png", "bear/a\tb.png"],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_leads_elsewhere_is_told_by_name(shared: Api, path: str, kind: str) -> None:
    archive = zip_with(path) if kind == "zip" else tar_of((_member(path, 1), b"x"))
    data_set = rejection(shared, archive)
    assert data_set.problems[0].code == "archive_unsafe_path"
    assert data_set.problems[0].paths == [path]
    assert repr(path) in (data_set.reason or "")
    assert not list(shared.settings.data_dir.rglob("up.png"))


@pytest.mark.parametrize(
    "archive",
    [
        zip_with("bear/link.png", b"/etc/passwd", stat.S_IFLNK | 0o777),
        tar_of((_member("bear/link.png", kind=tarfile.SYMTYPE, link="/etc/passwd"), b"")),
        tar_of((_member("bear/link.png", kind=tarfile.LNKTYPE, link="bear/00003.png"), b"")),
    ],
    ids=["zip", "symbolic in tar", "hard in tar"],
)
def test_a_link_is_told_by_name(shared: Api, archive: bytes) -> None:
    data_set = rejection(shared, archive)
    assert data_set.problems[0].code == "archive_link"
    assert data_set.problems[0].paths == ["bear/link.png"]
    assert "send the file itself" in (data_set.reason or "")


@pytest.mark.parametrize(
    "archive",
    [
        zip_with("bear/pipe.png", b"", stat.S_IFIFO | 0o644),
        tar_of((_member("bear/pipe.png", kind=tarfile.FIFOTYPE), b"")),
        tar_of((_member("bear/pipe.png", kind=tarfile.CHRTYPE), b"")),
    ],
    ids=["pipe in zip", "pipe in tar", "device in tar"],
)
def test_what_is_no_file_is_told_by_name(shared: Api, archive: bytes) -> None:
    data_set = rejection(shared, archive)
    assert data_set.problems[0].code == "archive_special_file"
    assert "'bear/pipe.png'" in (data_set.reason or "")


@pytest.mark.parametrize(
    "bomb",
    [
        zip_of(
            silhouettes(labels=2, images=3) | {"bear/bomb.png": bytes(20 * 2**20)},
            zipfile.ZIP_DEFLATED,
        ),
        tar_of((_member("bear/bomb.png", 20 * 2**20), bytes(20 * 2**20)), mode="w:gz"),
        tar_of((_member("bear/bomb.png", 20 * 2**20), bytes(20 * 2**20)), mode="w:xz"),
    ],
    ids=["zip", "tar.gz", "tar.xz"],
)
def test_a_bomb_is_refused_while_it_swells(shared: Api, bomb: bytes) -> None:
    assert len(bomb) < 100_000
    data_set = rejection(shared, bomb)
    assert data_set.problems[0].code == "archive_bomb"
    assert "200 times its size" in (data_set.reason or "")


def test_members_that_overlap_are_a_bomb(shared: Api) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("bear/1.png", "bear/2.png", "camel/3.png"):
            archive.writestr(name, bytes(5000))
        for info in archive.filelist:
            info.header_offset = 0  # all of them are the first
            info.compress_size = info.file_size = 15_000
    assert "overlap" in (rejection(shared, packed.getvalue()).reason or "")


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_that_was_cut_off_asks_whether_it_was_sent_whole(
    shared: Api, kind: str, share: float
) -> None:
    archive = {
        "zip": lambda: zip_of(silhouettes()),
        "tar": lambda: tar_of(),
        "tar.gz": lambda: tar_of(mode="w:gz"),
    }[kind]()
    data_set = rejection(shared, archive[: int(len(archive) * share)])
    assert data_set.problems[0].code in ("archive_truncated", "archive_corrupt")
    assert "whole" in (data_set.reason or "") or "damaged" in (data_set.reason or "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello", "no archive of a known kind"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(600), "7z"),
        (next(iter(silhouettes().values())), "single image"),
        (zip_of({}), "image"),
    ],
    ids=["text", "7z", "image", "empty zip"],
)
def test_what_is_no_archive_is_told_what_would_be(shared: Api, content: bytes, says: str) -> None:
    reason = rejection(shared, content).reason or ""
    assert says in reason
    assert "folder" in reason


def test_an_encrypted_zip_is_to_be_sent_without_a_password(shared: Api) -> None:
    archive = bytearray(zip_of(silhouettes(labels=2, images=3)))
    for signature, flags_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = 0
        while (at := archive.find(signature, at)) >= 0:
            archive[at + flags_at] |= 1
            at += 4
    assert "without a password" in (rejection(shared, bytes(archive)).reason or "")


def test_two_files_of_one_name_are_told_by_name(shared: Api) -> None:
    archive = zip_with("bear/again.png").replace(b"bear/again.png", b"bear/00003.png")
    data_set = rejection(shared, archive)
    assert data_set.problems[0].code == "archive_duplicate_path"
    assert "'bear/00003.png'" in (data_set.reason or "")


def test_a_service_takes_the_next_data_set_after_every_bad_one(shared: Api) -> None:
    rejection(shared, b"PK\x03\x04" + bytes(100))
    assert uploaded(shared, "good-again", zip_of(silhouettes()))["state"] == "ready"
