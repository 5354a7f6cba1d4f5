"""Folders of the service's own machine, below configured roots."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from lrsearch.intake.errors import IntakeError
from lrsearch.intake.gate import Gate
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import File, Folder, Member, Members, UnreadFile


def folder_members(path: str | Path, roots: Sequence[Path], limits: IntakeLimits) -> Members:
    """The members of a folder. Links are followed as long as they stay below the folder's root.

    Every entry is checked here, before anything is read.

    Args:
        path: The folder, as `resolve_folder` takes it.
        roots: Folders below which data sets may be read.
        limits: How much it may hold.

    Raises:
        IntakeError: What `resolve_folder` raises; here or while the members are gone through
            `folder_unreadable`, `folder_link`, `folder_special_file`, `folder_too_many_files`,
            `folder_too_large`, `folder_unsafe_path`, `folder_path_too_long` or
            `folder_duplicate_path`.
    """
    folder, root = _below_roots(path, roots)
    walk = _Walk(root, Gate("folder", limits))
    walk.enter(folder, "", ())
    return Members(_members(walk, limits), len(walk.files))


def resolve_folder(path: str | Path, roots: Sequence[Path]) -> Path:
    """The real place of a folder below one of the roots.

    Args:
        path: Absolute, or relative to one of the roots: to the first that has it.
        roots: Folders below which data sets may be read.

    Raises:
        IntakeError: `no_roots`, `path_outside_roots` or `folder_not_found`.
    """
    return _below_roots(path, roots)[0]


def _below_roots(path: str | Path, roots: Sequence[Path]) -> tuple[Path, Path]:
    """The real folder and the real root that it lies below."""
    if not roots:
        raise IntakeError(
            "no_roots", "The service has no image roots: upload an archive, or configure a root."
        )
    below: list[tuple[Path, Path]] = []
    for root in roots:
        real_root, folder = root.resolve(), _resolved(root / path)
        if folder is not None and folder.is_relative_to(real_root):
            below.append((folder, real_root))
    if not below:
        raise IntakeError(
            "path_outside_roots", f"{str(path)!r} is not below one of the image roots.", [str(path)]
        )
    found = next((pair for pair in below if stat.S_ISDIR(_mode(pair[0]) or 0)), None)
    if found is None:
        raise IntakeError("folder_not_found", f"There is no folder at {str(path)!r}.", [str(path)])
    return found


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the path
        return None


class _Walk:
    """Lists a folder and all below it, checking every entry before anything is read."""

    def __init__(self, root: Path, gate: Gate) -> None:
        self.gate = gate
        self.folders: list[str] = []
        self.files: list[tuple[Path, str]] = []
        self._root = root

    def enter(self, folder: Path, within: str, ancestors: tuple[Path, ...]) -> None:
        """List the real folder `folder`, which stands at `within` in the data set."""
        if folder in ancestors:
            raise self.gate.error("link", f"{within!r} leads back to a folder around it.", within)
        try:
            names = sorted(entry.name for entry in folder.iterdir())
        except OSError as error:
            raise self.gate.error(
                "unreadable", f"{within or '.'!r} cannot be listed: {error.strerror}.", within
            ) from error
        for name in names:
            self._take(folder / name, f"{within}/{name}" if within else name, (*ancestors, folder))

    def _take(self, entry: Path, within: str, ancestors: tuple[Path, ...]) -> None:
        real = _resolved(entry) if entry.is_symlink() else entry
        if real is None or not real.is_relative_to(self._root):
            raise self.gate.error("link", f"{within!r} is a link that leaves the root.", within)
        mode = _mode(real)
        if mode is None:
            raise self.gate.error("link", f"{within!r} is a link that leads nowhere.", within)
        path = self.gate.admit(within, is_folder=stat.S_ISDIR(mode))
        if path is None:
            return
        if stat.S_ISDIR(mode):
            self.folders.append(path)
            self.enter(real, within, ancestors)
        elif stat.S_ISREG(mode):
            self.files.append((real, path))
        else:
            raise self.gate.error(
                "special_file", f"{within!r} is neither a plain file nor a folder.", within
            )


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _members(walk: _Walk, limits: IntakeLimits) -> Iterator[Member]:
    for path in walk.folders:
        yield Folder(path)
    for real, path in walk.files:
        try:
            content = _content(real, limits.max_image_bytes + 1)
        except OSError as error:
            yield UnreadFile(path, f"cannot be read: {error.strerror}")
            continue
        walk.gate.weigh(len(content))
        if len(content) > limits.max_image_bytes:
            yield UnreadFile(path, f"larger than {limits.max_image_bytes / MIB:.0f} MiB")
        else:
            yield File(path, content)


def _content(path: Path, max_bytes: int) -> bytes:
    """The beginning of a plain file, which must not have become a link or a pipe meanwhile."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        return file.read(max_bytes)
