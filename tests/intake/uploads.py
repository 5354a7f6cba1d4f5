"""Uploads for the tests: real images, packed in every way."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import lrsearch
from lrsearch.intake.archives import archive_members
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.members import File, Member
from lrsearch.intake.validate import BuiltDataSet, build_data_set

SILHOUETTES = Path(lrsearch.__file__).parent / "samples" / "silhouettes.zip"
LIMITS = IntakeLimits()

Files = Mapping[str, bytes]
"""Contents by path."""


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def animals(labels: int = 3, images_per_label: int = 4) -> dict[str, bytes]:
    """Silhouettes, 28×28 PNG, such as `bear/00607.png`."""
    taken: dict[str, dict[str, bytes]] = {}
    with zipfile.ZipFile(SILHOUETTES) as archive:
        for path in archive.namelist():
            of_label = taken.setdefault(path.split("/")[0], {})
            if len(of_label) < images_per_label:
                of_label[path] = archive.read(path)
    return {path: image for label in sorted(taken)[:labels] for path, image in taken[label].items()}


def zip_of(files: Files, path: Path, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip; a path with `/` at its end is an empty folder."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(files: Files, path: Path, compression: str = "") -> Path:
    """A tar under one of `COMPRESS`; a path with `/` at its end is an empty folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(COMPRESS[compression](packed.getvalue()))
    return path


def folder_of(files: Files, folder: Path) -> Path:
    """A folder of files; a path with `/` at its end is an empty folder."""
    folder.mkdir()
    for name, content in files.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def read(path: Path, limits: IntakeLimits = LIMITS) -> list[Member]:
    """All members of an archive."""
    with archive_members(path, limits) as members:
        return list(members)


def files_in(path: Path) -> dict[str, bytes]:
    """The files of an archive, by path."""
    return {member.path: member.content for member in read(path) if isinstance(member, File)}


def refusal(action: Callable[[], object]) -> IntakeError:
    """The error that an action must end with."""
    try:
        action()
    except IntakeError as error:
        return error
    raise AssertionError("it was accepted")


def build(archive: Path, destination: Path, limits: IntakeLimits = LIMITS) -> BuiltDataSet:
    """Build a data set from an archive."""
    return build_data_set(
        archive_members(archive, limits), destination, limits, lambda done, total: None
    )
