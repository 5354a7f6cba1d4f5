"""Members: the image files of an archive or a folder, each with its label."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lrsearch.intake0.errors import IntakeError
from lrsearch.intake0.limits import IntakeLimits

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})

IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "groups.json"})

BESIDE_LABELS = frozenset({"", ".txt", ".md", ".json", ".csv", ".yaml", ".yml", ".xml", ".pdf"})
"""Suffixes of files that may stand beside the label folders and are passed over."""


@dataclass(frozen=True)
class Member:
    """One file: where it stood, and what it holds."""

    path: PurePosixPath
    content: bytes
    total: int | None
    """Members in all, where that is known."""


@dataclass(frozen=True)
class Layout:
    """How label folders lie in a list of paths: below `wrapper` folders that hold nothing else."""

    wrapper: int

    def place(self, path: PurePosixPath) -> tuple[str, str] | None:
        """Label and file name of a path; None for a file that may be passed over.

        Raises:
            IntakeError: the path does not fit one folder of images for each label.
        """
        parts = path.parts[self.wrapper :]
        if len(parts) == 2:
            return parts[0], parts[1]
        if len(parts) < 2:
            if path.suffix.lower() in BESIDE_LABELS:
                return None
            raise IntakeError(
                "image_without_label",
                f"{path} lies in no label's folder; one folder of images for each label is wanted",
                [str(path)],
            )
        raise IntakeError(
            "nested_folders",
            f"{path} lies too deep: one folder of images for each label is wanted, without train "
            "and test folders above or others below; the splits are made here",
            [str(path)],
        )


def safe_path(name: str, limits: IntakeLimits) -> PurePosixPath:
    """A member's path, if it stays where it is put.

    Raises:
        IntakeError: it is absolute, climbs with `..`, has a drive letter, a backslash, a control
            character, or is too long.
    """
    path = PurePosixPath(name)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in name
        or (len(name) > 1 and name[1] == ":")
        or any(not c.isprintable() for c in name)
    ):
        raise IntakeError(
            "unsafe_path",
            f"{name!r} is no plain relative path; absolute paths, '..', drive letters, "
            "backslashes and control characters are refused",
            [name],
        )
    if len(name) > limits.max_path_length:
        raise IntakeError(
            "path_too_long",
            f"{name[:80]!r}… has {len(name)} characters; at most {limits.max_path_length}",
            [name],
        )
    return path


def is_ignored(path: PurePosixPath) -> bool:
    """Whether a file is the operating system's, not the user's."""
    return any(part.startswith(".") or part.lower() in IGNORED_NAMES for part in path.parts)


def layout_of(paths: Iterable[PurePosixPath]) -> Layout:
    """Find the label folders; folders that wrap them all are stripped."""
    images = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    wrapper = 0
    while images and all(len(path.parts) > wrapper + 2 for path in images):
        if len({path.parts[wrapper] for path in images}) > 1:
            break
        wrapper += 1
    return Layout(wrapper)


def require_distinct(paths: Iterable[PurePosixPath], limits: IntakeLimits) -> None:
    """Raise `IntakeError` where a path occurs twice or there are too many."""
    seen: set[PurePosixPath] = set()
    for path in paths:
        if path in seen:
            raise IntakeError("path_twice", f"{path} stands in the archive twice", [str(path)])
        seen.add(path)
        if len(seen) > limits.max_files:
            raise IntakeError("too_many_files", f"there are more than {limits.max_files} files")
