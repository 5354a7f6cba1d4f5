"""Images that make no data set: each is told in the data set's reason, by name."""

import struct
from hashlib import sha256
from itertools import count
from zlib import crc32

import pytest

from lrsearch.contract.datasets import DataSet
from lrsearch.upkeep.garbage import collect_garbage
from tests.api.conftest import problem, uploaded
from tests.api.samples import Files, silhouettes, zip_of
from tests.api.serving import Api

_numbers = count()


def sent(api: Api, contents: Files) -> DataSet:
    """What becomes of files."""
    return DataSet.model_validate(uploaded(api, f"images-{next(_numbers)}", zip_of(contents)))


def rejection(api: Api, contents: Files) -> DataSet:
    """What becomes of files that must not become a data set; jobs are told the same."""
    data_set = sent(api, contents)
    assert data_set.state == "rejected"
    assert data_set.reason
    assert (data_set.statistics, data_set.fingerprint) == (None, None)
    assert data_set.problems[0].message == data_set.reason
    answer = api.post("/v1/jobs", json={"data_set": data_set.name, "source_model": "random"})
    refused = problem(answer, 409, "data_set_rejected")
    assert data_set.reason.rstrip(".") in refused["detail"]
    assert "another name" in refused["remedy"]
    problem(api.get(f"/v1/datasets/{data_set.id}/content"), 409, "data_set_rejected")
    return data_set


def first_of_each_label(contents: Files) -> list[str]:
    return [
        min(path for path in contents if path.startswith(f"{label}/"))
        for label in sorted({path.partition("/")[0] for path in contents})
    ]


def test_a_few_unreadable_images_are_left_out_and_listed_by_name(shared: Api) -> None:
    images = silhouettes()
    cut, text, empty = first_of_each_label(images)
    images |= {cut: images[cut][:100], text: b"not an image", empty: b""}
    data_set = sent(shared, images)
    assert (data_set.state, data_set.reason) == ("ready", None)
    assert data_set.statistics is not None
    assert (data_set.statistics.images, data_set.statistics.unreadable_total) == (57, 3)
    reasons = {file.path: file.reason for file in data_set.statistics.unreadable}
    assert list(reasons) == [cut, text, empty]
    assert all(reasons.values())
    assert "formats" in reasons[text]
    assert {label.images for label in data_set.statistics.labels} == {19}


def test_too_many_unreadable_images_are_a_reason_to_refuse_them_all(shared: Api) -> None:
    images = silhouettes()
    damaged = sorted(images)[::5]
    images |= {path: images[path][:100] for path in damaged}
    data_set = rejection(shared, images)
    assert data_set.problems[0].code == "too_many_unreadable"
    assert data_set.problems[0].paths == damaged
    assert "12 of 60" in (data_set.reason or "")
    assert damaged[0] in (data_set.reason or "")


def test_nothing_but_unreadable_files_is_told_with_the_first(shared: Api) -> None:
    data_set = rejection(shared, {"cat/1.png": b"x", "dog/1.png": b"y"})
    assert data_set.problems[0].code == "no_images"
    assert "cat/1.png" in (data_set.reason or "")


def test_an_image_of_too_many_pixels_is_not_decoded(shared: Api) -> None:
    images = silhouettes()
    first = next(iter(images))
    bomb = bytearray(images[first])
    bomb[16:24] = struct.pack(">II", 12_000, 12_000)  # width and height in the header
    bomb[29:33] = struct.pack(">I", crc32(bomb[12:29]))
    data_set = sent(shared, images | {first: bytes(bomb)})
    assert data_set.statistics is not None
    (unreadable,) = data_set.statistics.unreadable
    assert unreadable.path == first
    assert "pixels" in unreadable.reason


@pytest.mark.parametrize("empty", [{"zebra/": b""}, {"zebra/1.png": b"not an image"}])
def test_a_label_without_a_readable_image_is_told_by_name(shared: Api, empty: Files) -> None:
    data_set = rejection(shared, silhouettes() | empty)
    assert "label_empty" in {problem.code for problem in data_set.problems}
    assert "'zebra'" in " ".join(problem.message for problem in data_set.problems)


def test_one_label_is_none(shared: Api) -> None:
    (label,) = {path.partition("/")[0] for path in silhouettes(labels=1)}
    data_set = rejection(shared, silhouettes(labels=1))
    assert data_set.problems[0].code == "single_label"
    assert repr(label) in (data_set.reason or "")
    assert "two or more" in (data_set.reason or "")


def test_the_same_image_under_two_labels_is_told_with_both_names(shared: Api) -> None:
    images = silhouettes()
    first, second, _ = first_of_each_label(images)
    copy = f"{second.partition('/')[0]}/copy.png"
    data_set = rejection(shared, images | {copy: images[first]})
    assert data_set.problems[0].code == "duplicate_across_labels"
    assert set(data_set.problems[0].paths) == {first, copy}
    assert first in (data_set.reason or "")
    assert copy in (data_set.reason or "")
    assert "right label" in (data_set.reason or "")


def test_the_same_image_twice_under_one_label_is_counted_only(shared: Api) -> None:
    images = silhouettes()
    first, *_ = first_of_each_label(images)
    copy = f"{first.partition('/')[0]}/copy.png"
    data_set = sent(shared, images | {copy: images[first]})
    assert data_set.statistics is not None
    assert data_set.statistics.duplicates_within_label == 1
    assert (data_set.statistics.images, data_set.statistics.distinct_images) == (61, 60)


def test_images_without_a_label_are_told_by_name(shared: Api) -> None:
    image = next(iter(silhouettes().values()))
    data_set = rejection(shared, silhouettes() | {"stray.png": image})
    assert "'stray.png'" in (data_set.reason or "")
    assert "folder" in (data_set.reason or "")


def test_folders_within_labels_are_told_by_name(shared: Api) -> None:
    train = {f"train/{path}": content for path, content in silhouettes().items()}
    test = {f"test/{path}": content for path, content in silhouettes().items()}
    data_set = rejection(shared, train | test)
    assert data_set.problems[0].code == "nested_folders"
    assert "test, train" in (data_set.reason or "")
    assert "one split only" in (data_set.reason or "").lower()


def test_everything_that_is_wrong_is_told_at_once(shared: Api) -> None:
    (label,) = {path.partition("/")[0] for path in silhouettes(labels=1)}
    images = silhouettes(labels=1) | {"zebra/": b"", f"{label}/a.png": b"", f"{label}/b.png": b""}
    images |= {f"{label}/c.png": b"", f"{label}/d.png": b""}
    codes = [problem.code for problem in rejection(shared, images).problems]
    assert codes == ["label_empty", "too_many_unreadable"]


def test_a_rejected_upload_is_not_kept(api: Api) -> None:
    archive = zip_of(silhouettes(labels=1))
    assert uploaded(api, "one", archive)["state"] == "rejected"
    content = sha256(archive).hexdigest()
    assert content in api.stored_files()
    settings = api.settings.model_copy(update={"blob_grace_seconds": 0.0})
    collect_garbage(api.service.database, settings)
    assert content not in api.stored_files()
