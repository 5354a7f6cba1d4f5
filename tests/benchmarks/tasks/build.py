"""Lays a task out as two ZIP files: what its user has, and the audit split that only we see."""

import hashlib
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from lrsearch.contract.recipes import Splits
from lrsearch.contract.splits import split_sizes
from tests.benchmarks.images.folders import read_groups
from tests.benchmarks.tasks.suite import SuiteTask

AUDIT_IMAGES: Final = 2000
"""Largest audit split: a standard error of one point and less."""


class Files(NamedTuple):
    """Where a task lies."""

    user: Path
    """`LABEL/FILE.png`: train, validation and a test split of the size that such a user has."""
    audit: Path
    """The same layout; no image and no group of it is in `user`."""


def files_of(folder: Path, task: SuiteTask) -> Files:
    """Where a task lies in the suite's folder."""
    return Files(folder / f"{task.name}.zip", folder / f"{task.name}.audit.zip")


def images_needed(images_per_label: int) -> int:
    """The smallest number of images a label that leaves `images_per_label` to train on."""
    return next(n for n in count(3) if split_sizes(n, Splits()).train >= images_per_label)


def build(images: Path, task: SuiteTask, folder: Path) -> tuple[int, int]:
    """Writes a task's files; the same images give the same bytes.

    The user has one image of each group (a font family, the artists of one emoji) in a label; the
    groups that the user has are in no audit split.

    Args:
        images: Folder that `tests.benchmarks.images fetch` wrote.
        task: What to build.
        folder: Of the suite.

    Returns:
        Images of the user's, and of the audit split.

    Raises:
        ValueError: A label has too few groups.
    """
    groups = read_groups(images / task.domain)
    needed = images_needed(task.images_per_label)
    members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    labels = {folder: label for label, folders in task.labels.items() for folder in folders}
    for path, group in groups.items():
        if (label := labels.get(path.split("/")[0])) is not None:
            members[label][group].append(path)
    user: dict[str, list[str]] = {}
    for label in task.labels:
        # One order for all labels, so that a family of fonts is the user's for every letter.
        chosen = _shuffled(members[label], task.draw)[:needed]
        if len(chosen) < needed:
            raise ValueError(
                f"{task.name}: label {label} has {len(chosen)} groups; {needed} are needed"
            )
        user[label] = [_shuffled(members[label][group], task.draw)[0] for group in chosen]
    seen = {groups[path] for paths in user.values() for path in paths}
    audit = {
        label: [path for g, paths in members[label].items() if g not in seen for path in paths]
        for label in task.labels
    }
    largest = AUDIT_IMAGES // len(task.labels)
    for label, paths in audit.items():
        if not paths:
            raise ValueError(f"{task.name}: label {label} has no images left to audit with")
        audit[label] = _shuffled(paths, task.draw)[:largest]
    files = files_of(folder, task)
    folder.mkdir(parents=True, exist_ok=True)
    _write(files.user, images / task.domain, user)
    _write(files.audit, images / task.domain, audit)
    return sum(map(len, user.values())), sum(map(len, audit.values()))


def _shuffled(names: Iterable[str], draw: int) -> list[str]:
    """By a hash: as good as at random, and always the same."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{draw}\0{name}".encode()).digest())


def _write(archive: Path, images: Path, chosen: dict[str, list[str]]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for label, paths in chosen.items():
            for path in paths:
                # With the folder in the name: a label may be made of several.
                entry = zipfile.ZipInfo(f"{label}/{path.replace('/', '-')}")
                entry.external_attr = 0o644 << 16
                file.writestr(entry, (images / path).read_bytes())
