"""Layout: which folders of an upload are its labels."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from lrsearch.contract.datasets import DataSetProblem
from lrsearch.intake.errors import MAX_PATHS, IntakeError
from lrsearch.intake.images import SUFFIXES

_NAMED = 10


@dataclass(frozen=True)
class Layout:
    """One folder per label, within `prefix`."""

    prefix: str
    """The folders around the label folders: empty, or with a `/` at its end."""

    labels: frozenset[str]

    def split(self, path: str) -> tuple[str, str] | None:
        """Label and file name of a file; None where it stands in no label folder."""
        if not path.startswith(self.prefix):
            return None
        label, slash, name = path[len(self.prefix) :].partition("/")
        return (label, name) if slash else None


def layout_of(folders: Collection[str], files: Collection[str], images: Collection[str]) -> Layout:
    """Find the label folders.

    A single folder around everything (`mydata/cats/1.png`) is passed over, however often. Files
    beside the label folders are ignored unless they are images.

    Args:
        folders: Paths of folders, where the upload names them.
        files: Paths of all files.
        images: Which of them are readable images.

    Raises:
        IntakeError: `images_outside_labels` or `nested_folders`.
    """
    every_folder = {above for path in folders for above in _with_parents(path)}
    every_folder.update(
        above for folder in {_parent(path) for path in files} for above in _with_parents(folder)
    )
    prefix = _prefix(every_folder)
    inside = {folder[len(prefix) :] for folder in every_folder if folder.startswith(prefix)}
    layout = Layout(prefix, frozenset(folder for folder in inside if "/" not in folder))
    problems = [
        *_outside(path for path in files if layout.split(path) is None and _is_image(path, images)),
        *_nested(prefix, {folder.partition("/")[0] for folder in inside if "/" in folder}),
    ]
    if problems:
        raise IntakeError.of(problems)
    return layout


def _prefix(folders: Collection[str]) -> str:
    prefix = ""
    while True:
        inside = [folder[len(prefix) :] for folder in folders if folder.startswith(prefix)]
        tops = {folder.partition("/")[0] for folder in inside}
        if len(tops) != 1 or not any("/" in folder for folder in inside):
            return prefix
        prefix += f"{tops.pop()}/"


def _outside(paths: Iterable[str]) -> Iterator[DataSetProblem]:
    if outside := sorted(paths):
        yield DataSetProblem(
            code="images_outside_labels",
            message=f"{len(outside)} image files stand in no label folder, such as "
            f"{outside[0]!r}: put each image into a folder that is named by its label.",
            paths=outside[:MAX_PATHS],
        )


def _nested(prefix: str, tops: Collection[str]) -> Iterator[DataSetProblem]:
    if nested := sorted(tops):
        named = ", ".join(nested[:_NAMED]) + (", …" if len(nested) > _NAMED else "")
        what = f"folder {named} contains" if len(nested) == 1 else f"folders {named} contain"
        yield DataSetProblem(
            code="nested_folders",
            message=f"{what} folders: one folder per label is expected. Send one split only (it "
            "is split again for each job), or join the folders of a label.",
            paths=[prefix + top for top in nested[:MAX_PATHS]],
        )


def _is_image(path: str, images: Collection[str]) -> bool:
    return path in images or PurePosixPath(path).suffix.lower() in SUFFIXES


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _with_parents(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = _parent(folder)
