"""Validation: what becomes a data set, with which statistics, and what does not."""

import errno
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrsearch.contract.datasets import Spread
from lrsearch.intake.archives import archive_members
from lrsearch.intake.canonical import Spool
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.folders import folder_members
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.members import File, Member, Members
from lrsearch.intake.validate import BuiltDataSet, build_data_set
from tests.intake.uploads import (
    LIMITS,
    SILHOUETTES,
    animals,
    build,
    folder_of,
    refusal,
    tar_of,
    zip_of,
)

IMAGES = list(animals(3, 6).values())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The only folder that a build may write to."""
    place = tmp_path / "place"
    place.mkdir()
    return place


def built(files: Mapping[str, bytes], place: Path, limits: IntakeLimits = LIMITS) -> BuiltDataSet:
    stream: Iterator[Member] = (File(path, content) for path, content in files.items())
    return build_data_set(Members(stream), place / "set.zip", limits, lambda done, total: None)


def rejected(files: Mapping[str, bytes], place: Path, limits: IntakeLimits = LIMITS) -> IntakeError:
    """The error of a build, which must leave nothing behind."""
    error = refusal(lambda: built(files, place, limits))
    assert list(place.iterdir()) == []
    return error


def entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_sample_becomes_a_data_set(place: Path) -> None:
    data_set = build(SILHOUETTES, place / "set.zip")
    counted = data_set.statistics
    assert [(one.label, one.images) for one in counted.labels][:2] == [("bear", 150), ("bird", 150)]
    assert (counted.images, counted.distinct_images, counted.unreadable_total) == (1500, 1500, 0)
    assert counted.images_per_label == Spread(min=150, median=150.0, max=150)
    assert counted.widths == counted.heights == Spread(min=28, median=28.0, max=28)
    assert (counted.modes, counted.formats) == ({"L": 1500}, {"PNG": 1500})
    assert counted.bytes == sum(len(content) for content in entries(SILHOUETTES).values())
    assert entries(data_set.path) == entries(SILHOUETTES)


def test_the_way_of_sending_makes_no_difference(place: Path, tmp_path: Path) -> None:
    files = animals()
    wrapped = {f"my data/{path}": content for path, content in files.items()}
    twice = {f"a/b/{path}": content for path, content in files.items()}
    litter = {"README.md": b"x", "LICENSE": b"x", "my data/labels.csv": b"x", ".x": b"x"}
    archives = [
        zip_of(files, tmp_path / "1"),
        tar_of(dict(reversed(files.items())), tmp_path / "2"),
        tar_of(wrapped | litter, tmp_path / "3", "gz"),
        zip_of(twice | {"a/": b"", "a/b/": b""}, tmp_path / "4"),
    ]
    ways = [archive_members(archive, LIMITS) for archive in archives]
    folder_of(wrapped | litter, tmp_path / "folder")
    ways += [
        folder_members(tmp_path / "folder" / wrap, [tmp_path], LIMITS) for wrap in ("", "my data")
    ]
    sets = [
        build_data_set(way, place / f"{i}.zip", LIMITS, lambda done, total: None)
        for i, way in enumerate(ways)
    ]
    assert len({one.fingerprint for one in sets}) == 1
    assert len({one.path.read_bytes() for one in sets}) == 1
    assert all(one.statistics == sets[0].statistics for one in sets)


def test_the_canonical_archive_is_stored_sorted_and_of_one_date(place: Path) -> None:
    data_set = built({"b/1.png": IMAGES[0], "a/2.png": IMAGES[1], "a/10.png": IMAGES[2]}, place)
    with zipfile.ZipFile(data_set.path) as archive:
        members = archive.infolist()
    assert [one.filename for one in members] == ["a/10.png", "a/2.png", "b/1.png"]
    assert {one.compress_type for one in members} == {zipfile.ZIP_STORED}
    assert {one.date_time for one in members} == {(1980, 1, 1, 0, 0, 0)}


def test_the_fingerprint_is_that_of_the_contract(place: Path) -> None:
    files = {"dog/1.png": IMAGES[0], "cat/1.png": IMAGES[1], "cat/2.png": IMAGES[1]}
    lines = sorted(f"{p.split('/')[0]}\0{sha256(c).hexdigest()}\n" for p, c in files.items())
    assert built(files, place).fingerprint == sha256("".join(lines).encode()).hexdigest()


@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations(range(6)),
    names=st.lists(
        st.from_regex(r"[a-zà-ÿ0-9]{1,8}\.png", fullmatch=True), min_size=6, unique=True
    ),
)
def test_the_fingerprint_depends_on_neither_names_nor_order(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], names: list[str]
) -> None:
    place = tmp_path_factory.mktemp("place")
    plain = {f"{'ab'[i % 2]}/{i}.png": IMAGES[i] for i in range(6)}
    renamed = {f"{'ab'[i % 2]}/{names[i]}": IMAGES[i] for i in order}
    assert built(renamed, place).fingerprint == built(plain, place).fingerprint


def test_the_fingerprint_depends_on_labels_and_contents(place: Path) -> None:
    one = built({"a/1.png": IMAGES[0], "a/2.png": IMAGES[1], "b/1.png": IMAGES[2]}, place)
    moved = built({"a/1.png": IMAGES[0], "b/2.png": IMAGES[1], "b/1.png": IMAGES[2]}, place)
    other = built({"a/1.png": IMAGES[0], "a/2.png": IMAGES[3], "b/1.png": IMAGES[2]}, place)
    assert len({one.fingerprint, moved.fingerprint, other.fingerprint}) == 3


def test_repeated_contents_of_a_label_stay_and_are_counted(place: Path) -> None:
    data_set = built({"a/1.png": IMAGES[0], "a/2.png": IMAGES[0], "b/1.png": IMAGES[1]}, place)
    counted = data_set.statistics
    assert (counted.images, counted.distinct_images, counted.duplicates_within_label) == (3, 2, 1)
    assert (counted.labels[0].images, counted.labels[0].distinct) == (2, 1)
    assert entries(data_set.path)["a/2.png"] == IMAGES[0]


def test_few_unreadable_files_are_left_out_and_listed(place: Path) -> None:
    files = {f"data/{i % 2}/{i}.png": image for i, image in enumerate(IMAGES)}
    data_set = built(files | {"data/0/broken.png": IMAGES[0][:-40]}, place)
    (left_out,) = data_set.statistics.unreadable
    assert left_out.path == "data/0/broken.png"
    assert "truncated" in left_out.reason
    assert data_set.statistics.unreadable_total == 1
    assert "0/broken.png" not in entries(data_set.path)


def test_of_many_unreadable_files_the_first_thousand_are_listed(place: Path) -> None:
    files = {f"{i % 2}/{i}.png": image for i, image in enumerate(IMAGES)}
    files |= {f"0/x{i:04}.png": b"x" for i in range(1001)}
    counted = built(files, place, IntakeLimits(max_unreadable_share=1.0)).statistics
    assert (len(counted.unreadable), counted.unreadable_total) == (1000, 1001)


def test_progress_counts_files_up_to_the_total(place: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    for pack, total in ((zip_of, 12), (tar_of, None)):
        members = archive_members(pack(animals(), tmp_path / "upload"), LIMITS)
        build_data_set(members, place / "set.zip", LIMITS, lambda *done: told.append(done))
        assert told == [(done, total) for done in range(1, 13)]
        told.clear()


@pytest.mark.parametrize(
    ("files", "code", "paths"),
    [
        ({}, "no_images", []),
        ({"README.md": b"x"}, "no_images", []),
        ({"a/x.png": b"x", "b/y.png": b"y"}, "no_images", ["a/x.png", "b/y.png"]),
        ({"a/1.png": IMAGES[0], "a/2.png": IMAGES[1]}, "single_label", ["a"]),
        (
            {"w/a/1.png": IMAGES[0], "w/b/x.png": b"x", "w/c/2.png": IMAGES[2]},
            "label_empty",
            ["w/b"],
        ),
        (
            {"a/1.png": IMAGES[0], "b/2.png": IMAGES[0], "b/3.png": IMAGES[1]},
            "duplicate_across_labels",
            ["a/1.png", "b/2.png"],
        ),
        (
            {"a/1.png": IMAGES[0], "b/2.png": IMAGES[1], "b/x.png": b"x"},
            "too_many_unreadable",
            ["b/x.png"],
        ),
        ({"a/1.png": IMAGES[0], "b" * 201 + "/2.png": IMAGES[1]}, "label_name", ["b" * 201]),
        ({"1.png": IMAGES[0], "2.png": IMAGES[1]}, "images_outside_labels", ["1.png", "2.png"]),
        (
            {"a/1.png": IMAGES[0], "b/2.png": IMAGES[1], "nameless": IMAGES[2]},
            "images_outside_labels",
            ["nameless"],
        ),
        (
            {"w/a/1.png": IMAGES[0], "w/b/2.png": IMAGES[1], "3.JPG": b"broken"},
            "images_outside_labels",
            ["3.JPG"],
        ),
        (
            {"w/train/a/1.png": IMAGES[0], "w/test/a/2.png": IMAGES[1]},
            "nested_folders",
            ["w/test", "w/train"],
        ),
    ],
)
def test_what_is_no_data_set_is_rejected(
    place: Path, files: dict[str, bytes], code: str, paths: list[str]
) -> None:
    error = rejected(files, place)
    assert (error.code, error.paths) == (code, paths)
    assert error.problems[0].code == code


def test_splits_are_rejected_with_help(place: Path) -> None:
    files = {"train/a/1.png": IMAGES[0], "test/a/2.png": IMAGES[1]}
    message = rejected(files, place).message
    assert "folders test, train contain folders: one folder per label is expected" in message


def test_an_empty_label_folder_is_rejected(place: Path, tmp_path: Path) -> None:
    archive = zip_of(animals() | {"dragon/": b""}, tmp_path / "upload")
    error = refusal(lambda: build(archive, place / "set.zip"))
    assert (error.code, error.paths) == ("label_empty", ["dragon"])


def test_the_number_of_labels_is_limited(place: Path) -> None:
    files = {f"{i}/x.png": IMAGES[i] for i in range(3)}
    assert rejected(files, place, IntakeLimits(max_labels=2)).code == "too_many_labels"


def test_everything_that_is_wrong_is_told_at_once(place: Path) -> None:
    files = {"a/1.png": IMAGES[0], "b/2.png": IMAGES[0], "c/x.png": b"x"}
    assert [problem.code for problem in rejected(files, place).problems] == [
        "label_empty",
        "duplicate_across_labels",
        "too_many_unreadable",
    ]


def test_no_more_than_a_hundred_paths_are_named(place: Path) -> None:
    files = {f"{i % 2}/{i}.png": b"x" for i in range(150)}
    assert len(rejected(files, place).paths) == 100


def test_a_full_disk_leaves_nothing_behind(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    files = {f"{i % 2}/{i}.png": image for i, image in enumerate(IMAGES)}
    for method in ("add", "read"):
        with monkeypatch.context() as patch:
            patch.setattr(Spool, method, full)
            with pytest.raises(OSError, match="No space left"):
                built(files, place)
        assert list(place.iterdir()) == []


def test_an_abandoned_build_leaves_the_former_archive(place: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 5:
            raise KeyboardInterrupt

    former = place / "set.zip"
    former.write_bytes(b"former")
    members = archive_members(tar_of(animals(), tmp_path / "upload"), LIMITS)
    with pytest.raises(KeyboardInterrupt):
        build_data_set(members, former, LIMITS, stop)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == {"set.zip": b"former"}
