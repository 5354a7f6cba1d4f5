"""Folders: read below configured roots only, whatever links there are."""

import os
from pathlib import Path

import pytest

from lrsearch.intake.folders import folder_members, resolve_folder
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.members import File, Folder, Member, UnreadFile
from tests.intake.uploads import LIMITS, animals, folder_of, refusal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image root that holds `animals/bear/1.png`; `secret/key` lies beside it."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    folder_of({"bear/1.png": b"x"}, root / "animals")
    return root


def listed(path: str | Path, root: Path, limits: IntakeLimits = LIMITS) -> list[Member]:
    with folder_members(path, [root], limits) as members:
        return list(members)


def test_a_folder_gives_what_an_archive_of_it_gives(tmp_path: Path) -> None:
    files = animals()
    folder_of(files | {"empty/": b"", ".git/x": b"x", "bear/Thumbs.db": b"x"}, tmp_path / "set")
    members = listed(tmp_path / "set", tmp_path)
    assert {one.path: one.content for one in members if isinstance(one, File)} == files
    assert Folder("empty") in members
    assert len(members) == len(files) + 4


def test_the_number_of_files_is_known_beforehand(root: Path) -> None:
    with folder_members("animals", [root], LIMITS) as members:
        assert members.total_files == 1


def test_a_path_is_absolute_or_relative_to_a_root(root: Path, tmp_path: Path) -> None:
    roots = [tmp_path / "secret", root]
    assert resolve_folder("animals", roots) == root / "animals"
    assert resolve_folder(root / "animals", roots) == root / "animals"


def test_without_roots_nothing_is_read(root: Path) -> None:
    assert refusal(lambda: resolve_folder(root / "animals", [])).code == "no_roots"


@pytest.mark.parametrize("path", ["../secret", "animals/../../secret", "/etc", "/", "..", "a\0b"])
def test_paths_outside_the_roots_are_refused(root: Path, path: str) -> None:
    error = refusal(lambda: resolve_folder(path, [root]))
    assert (error.code, error.paths) == ("path_outside_roots", [path.replace("\0", "\\x00")])


def test_a_root_is_no_prefix_of_names(root: Path, tmp_path: Path) -> None:
    (tmp_path / "root2").mkdir()
    error = refusal(lambda: resolve_folder(tmp_path / "root2", [root]))
    assert error.code == "path_outside_roots"


def test_a_link_out_of_the_root_is_outside(root: Path, tmp_path: Path) -> None:
    (root / "exit").symlink_to(tmp_path / "secret")
    assert refusal(lambda: resolve_folder("exit", [root])).code == "path_outside_roots"


@pytest.mark.parametrize("path", ["nothing", "animals/bear/1.png"])
def test_a_path_that_is_no_folder_is_not_found(root: Path, path: str) -> None:
    assert refusal(lambda: resolve_folder(path, [root])).code == "folder_not_found"


@pytest.mark.parametrize("target", ["secret", "secret/key"])
def test_links_inside_that_leave_the_root_are_refused(
    root: Path, tmp_path: Path, target: str
) -> None:
    (root / "animals" / "cat").symlink_to(tmp_path / target)
    error = refusal(lambda: listed("animals", root))
    assert (error.code, error.paths) == ("folder_link", ["cat"])


def test_links_that_stay_below_the_root_are_followed(root: Path) -> None:
    folder_of({"1.png": b"y"}, root / "more")
    (root / "animals" / "cat").symlink_to(root / "more")
    (root / "animals" / "bear" / "2.png").symlink_to("../../more/1.png")
    contents = {one.path: one.content for one in listed("animals", root) if isinstance(one, File)}
    assert contents == {"bear/1.png": b"x", "bear/2.png": b"y", "cat/1.png": b"y"}


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "animals" / "bear" / "up").symlink_to(root / "animals")
    error = refusal(lambda: listed("animals", root))
    assert (error.code, error.paths) == ("folder_link", ["bear/up"])


@pytest.mark.parametrize("target", ["nowhere", "cat"])
def test_links_that_lead_nowhere_are_refused(root: Path, target: str) -> None:
    (root / "animals" / "cat").symlink_to(target)
    assert refusal(lambda: listed("animals", root)).code == "folder_link"


def test_pipes_are_refused_unopened(root: Path) -> None:
    os.mkfifo(root / "animals" / "bear" / "pipe.png")
    error = refusal(lambda: listed("animals", root))
    assert (error.code, error.paths) == ("folder_special_file", ["bear/pipe.png"])


def test_names_with_backslashes_are_refused(root: Path) -> None:
    (root / "animals" / "a\\b.png").write_bytes(b"x")
    assert refusal(lambda: listed("animals", root)).code == "folder_unsafe_path"


def test_a_file_that_becomes_a_link_meanwhile_is_not_read(root: Path, tmp_path: Path) -> None:
    image = root / "animals" / "bear" / "1.png"
    with folder_members("animals", [root], LIMITS) as members:
        image.unlink()
        image.symlink_to(tmp_path / "secret" / "key")
        (last,) = [member for member in members if not isinstance(member, Folder)]
    assert isinstance(last, UnreadFile)
    assert last.reason.startswith("cannot be read")


def test_limits_hold_for_folders(root: Path) -> None:
    folder_of({f"cat/{i}.png": bytes(1000) for i in range(5)}, root / "cats")
    small, few = IntakeLimits(max_image_bytes=999), IntakeLimits(max_files=5)
    assert UnreadFile("cat/0.png", "larger than 0 MiB") in listed("cats", root, small)
    assert refusal(lambda: listed("cats", root, few)).code == "folder_too_many_files"
    total = IntakeLimits(max_unpacked_bytes=4999)
    assert refusal(lambda: listed("cats", root, total)).code == "folder_too_large"
