"""Folders of the server, below the configured roots and never outside them."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lrsearch.intake0.errors import IntakeError
from lrsearch.intake0.limits import IntakeLimits
from lrsearch.intake0.members import Member, is_ignored, require_distinct, safe_path


def resolve_folder(path: str, roots: list[Path]) -> Path:
    """The folder that `path` means, links resolved.

    Raises:
        IntakeError: there are no roots, it leads out of them, or it is no folder.
    """
    if not roots:
        raise IntakeError(
            "no_roots",
            "path: no folders may be registered on this service; upload an archive, or have the "
            "administrator set LRSEARCH_IMAGE_ROOTS",
        )
    if "\0" in path:
        raise IntakeError("unsafe_path", "path: must not hold a NUL character")
    folder = Path(path).resolve()
    if not any(folder.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots)
        raise IntakeError("path_outside_roots", f"path: {path} is not below {allowed}", [path])
    if not folder.is_dir():
        raise IntakeError("not_a_folder", f"path: {path} is not a folder", [path])
    return folder


def folder_members(path: str, roots: list[Path], limits: IntakeLimits) -> Iterator[Member]:
    """The files below a folder; a link that leads out of the roots is refused.

    Raises:
        IntakeError: as `resolve_folder`, and for links, files that are too large, or too many.
    """
    folder = resolve_folder(path, roots)
    places = [
        place
        for directory, _, names in os.walk(folder, followlinks=False)
        for name in names
        if not is_ignored(place := _relative(folder, Path(directory, name), limits))
    ]
    require_distinct(places, limits)
    for place in sorted(places):
        file = folder / place
        if not any(file.resolve().is_relative_to(root.resolve()) for root in roots):
            raise IntakeError(
                "path_outside_roots", f"{place} is a link that leads out of the roots", [str(place)]
            )
        if not file.is_file():
            raise IntakeError("not_a_file", f"{place} is not a plain file", [str(place)])
        if file.stat().st_size > limits.max_image_bytes:
            raise IntakeError(
                "file_too_large",
                f"{place} is larger than {limits.max_image_bytes} bytes",
                [str(place)],
            )
        yield Member(place, file.read_bytes(), len(places))


def _relative(folder: Path, file: Path, limits: IntakeLimits) -> PurePosixPath:
    return safe_path(file.relative_to(folder).as_posix(), limits)
