"""The gate: no path that it admits leads out of where it is put."""

import os.path
import tempfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from hypothesis import example, given
from hypothesis import strategies as st

from lrsearch.intake.errors import IntakeError
from lrsearch.intake.gate import Gate
from lrsearch.intake.limits import IntakeLimits
from tests.intake.uploads import read, tar_of, zip_of

PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "\\",
        "C:",
        "c:x",
        "cats",
        "1.png",
        "~",
        "\0",
        "\u2024.",
        "..\u2044",
        "．．",
    ]
) | st.text(max_size=6)
PATHS = st.lists(PARTS, min_size=1, max_size=6).flatmap(
    lambda parts: st.sampled_from(["/", "\\", ""]).map(lambda separator: separator.join(parts))
)
PLACES = (PurePosixPath("/srv/data"), PureWindowsPath("D:/srv/data"))


def admitted(path: str) -> str | None:
    try:
        return Gate("archive", IntakeLimits()).admit(path)
    except IntakeError:
        return None


def assert_inside(path: str) -> None:
    assert path == os.path.normpath(path)
    for place in PLACES:
        joined = place / path
        assert joined.is_relative_to(place)
        assert len(joined.parts) == len(place.parts) + 1 + path.count("/")


@given(PATHS)
@example("../x")
@example("cats/../../x")
@example("C:/x")
def test_no_admitted_path_escapes_on_any_system(path: str) -> None:
    clean = admitted(path)
    if clean is not None:
        assert_inside(clean)


@given(PATHS)
def test_an_admitted_path_is_admitted_unchanged(path: str) -> None:
    clean = admitted(path)
    if clean is not None:
        assert admitted(clean) == clean


@given(PATHS.filter(bool))
def test_no_member_of_an_archive_escapes(path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for pack in (zip_of, tar_of):
            try:
                archive = pack({path: b"x"}, Path(folder) / "upload")
            except (ValueError, IndexError):  # the packer itself cannot write such a name
                continue
            try:
                members = read(archive)
            except IntakeError:
                continue
            for member in members:
                assert_inside(member.path)
