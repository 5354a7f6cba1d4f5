from pathlib import Path

import pytest

from lrsearch.client import Client, ClientError
from lrsearch.client.fingerprint import fingerprint_of
from lrsearch.client.packing import archive_of, name_of
from tests.client.images import write_images


def test_the_same_images_make_the_same_archive(tmp_path: Path) -> None:
    first = write_images(tmp_path / "first")
    second = write_images(tmp_path / "second")

    with archive_of(first) as one, archive_of(second) as other:
        assert one.read_bytes() == other.read_bytes()


def test_a_packed_folder_does_not_outlive_its_use(tmp_path: Path) -> None:
    with archive_of(write_images(tmp_path / "images")) as archive:
        assert archive.exists()

    assert not archive.exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cats.zip", "cats"),
        ("cats.tar.gz", "cats"),
        ("my cats (2).tgz", "my-cats-2"),
        ("(1).zip", "1"),
        ("….zip", "data-set"),
    ],
)
def test_a_data_set_is_named_after_its_archive(file: str, name: str, tmp_path: Path) -> None:
    (tmp_path / file).touch()

    assert name_of(tmp_path / file) == name


def test_a_folder_keeps_the_dots_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "cats.v1").mkdir()

    assert name_of(tmp_path / "cats.v1") == "cats.v1"


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_there_must_be_something_to_upload(path: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ClientError, match=path), archive_of(tmp_path / path):
        pass


def test_the_fingerprint_is_the_one_that_the_service_gives(client: Client, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "fingerprinted", labels=3, images=4)
    with archive_of(folder) as archive:
        expected = fingerprint_of(archive)

    uploaded = client.upload_data_set(folder)

    assert client.wait_for_data_set(uploaded.id, timeout_seconds=30).fingerprint == expected


def test_what_is_no_zip_file_has_no_fingerprint_beforehand(tmp_path: Path) -> None:
    (tmp_path / "images.tar").write_bytes(b"no zip")

    assert fingerprint_of(tmp_path / "images.tar") is None
