"""Folders of the server as data sets: below the configured roots, and nowhere else."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from lrsearch.settings import Settings
from tests.api.conftest import Json, problem, uploaded, validated
from tests.api.samples import Files, silhouettes, zip_of
from tests.api.serving import Api, serving

_numbers = count()


@pytest.fixture
def root(shared: Api) -> Path:
    """A folder of the test's own below the shared service's image root."""
    root = shared.settings.image_roots[0] / f"of-test-{next(_numbers)}"
    root.mkdir()
    return root


def write(folder: Path, contents: Files) -> Path:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def register(api: Api, path: Path | str) -> Json:
    """A registration that is taken, validated."""
    name = f"folder-{next(_numbers)}"
    answer = api.post("/v1/datasets/folders", json={"name": name, "path": str(path)})
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "validating"
    return validated(api, name)


def refusal(api: Api, path: Path | str) -> Json:
    """The problem of a registration that is not taken at all."""
    name = f"folder-{next(_numbers)}"
    answer = api.post("/v1/datasets/folders", json={"name": name, "path": str(path)})
    refused = problem(answer, 422)
    problem(api.get(f"/v1/datasets/{name}"), 404)
    assert [error["field"] for error in refused["errors"]] == ["path"]
    return refused


def test_a_folder_below_a_root_is_the_same_data_set_as_its_archive(shared: Api, root: Path) -> None:
    write(root, silhouettes())
    folder = register(shared, root)
    archive = uploaded(shared, f"archive-{root.name}", zip_of(silhouettes()))
    assert (folder["state"], folder["fingerprint"]) == ("ready", archive["fingerprint"])
    one, other = (
        shared.get(f"/v1/datasets/{data_set['id']}/content") for data_set in (folder, archive)
    )
    assert one.content == other.content
    assert one.headers["etag"] == other.headers["etag"]


def test_a_path_may_be_relative_to_a_root(shared: Api, root: Path) -> None:
    write(root / "animals", silhouettes())
    assert register(shared, f"{root.name}/animals")["state"] == "ready"


@pytest.mark.parametrize("outside", ["/etc", "/", "..", "../..", "/proc/self/root", "~"])
def test_a_path_outside_the_roots_is_refused_by_name(shared: Api, outside: str) -> None:
    refused = refusal(shared, outside)
    assert repr(outside) in refused["detail"]
    assert "root" in refused["detail"] or "no folder" in refused["detail"]


def test_a_path_that_climbs_out_of_a_root_is_refused(shared: Api, root: Path) -> None:
    write(shared.settings.data_dir / "secret", silhouettes())
    climbing = f"{root}/../../secret"
    refused = refusal(shared, climbing)
    assert refused["code"] == "path_outside_roots"
    assert refused["paths"] == [climbing]


def test_a_folder_that_is_a_link_out_of_the_roots_is_refused(shared: Api, root: Path) -> None:
    (root / "link").symlink_to(write(shared.settings.data_dir / "elsewhere", silhouettes()))
    assert refusal(shared, root / "link")["code"] == "path_outside_roots"


def test_an_image_that_is_a_link_out_of_the_roots_is_told_by_name(shared: Api, root: Path) -> None:
    secret = shared.settings.data_dir / "secret.png"
    secret.write_bytes(next(iter(silhouettes().values())))
    label = next(iter(silhouettes())).partition("/")[0]
    write(root, silhouettes())
    (root / label / "link.png").symlink_to(secret)
    rejected = register(shared, root)
    assert (rejected["state"], rejected["statistics"]) == ("rejected", None)
    assert f"{label}/link.png" in rejected["reason"]
    assert "link" in rejected["reason"]
    assert rejected["problems"][0]["paths"] == [f"{label}/link.png"]


def test_a_link_that_stays_below_the_root_is_followed(shared: Api, root: Path) -> None:
    write(root / "all", silhouettes())
    (root / "chosen").mkdir()
    for label in {path.partition("/")[0] for path in silhouettes()}:
        (root / "chosen" / label).symlink_to(root / "all" / label)
    assert register(shared, root / "chosen")["statistics"]["images"] == 60


@pytest.mark.parametrize("path", ["nowhere", "nul\0character", "very-long" * 100])
def test_a_folder_that_is_not_there_is_refused(shared: Api, root: Path, path: str) -> None:
    assert repr(f"{root}/{path}") in refusal(shared, f"{root}/{path}")["detail"]


def test_a_file_is_no_folder(shared: Api, root: Path) -> None:
    refusal(shared, write(root, {"file": b"x"}) / "file")


def test_a_folder_of_images_without_labels_is_rejected(shared: Api, root: Path) -> None:
    image = next(iter(silhouettes().values()))
    rejected = register(shared, write(root, {"first.png": image}))
    assert rejected["state"] == "rejected"
    assert "first.png" in rejected["reason"]
    assert "label" in rejected["reason"]


def test_the_same_name_again_is_refused(shared: Api, root: Path) -> None:
    write(root, silhouettes())
    answer = shared.post("/v1/datasets/folders", json={"name": "animals", "path": str(root)})
    assert "'animals'" in problem(answer, 409, "name_taken")["detail"]


def test_without_roots_no_folder_is_taken(
    api: Api, sqlite_settings: Callable[..., Settings]
) -> None:
    refused = refusal(api, "/")
    assert refused["code"] == "no_roots"
    assert "root" in refused["detail"]
    assert "archive" in refused["detail"]
    with serving(sqlite_settings(image_roots=[])) as same:
        assert refusal(same, ".")["code"] == "no_roots"
