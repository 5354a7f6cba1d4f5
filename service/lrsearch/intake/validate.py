"""Validation: from the members of an upload to a canonical archive, counted and fingerprinted."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

from lrsearch.contract.datasets import DataSetStatistics
from lrsearch.intake.canonical import Spool, write_canonical
from lrsearch.intake.checks import require_sound
from lrsearch.intake.images import ImageFacts, inspect_image
from lrsearch.intake.layout import layout_of
from lrsearch.intake.limits import MIB, IntakeLimits
from lrsearch.intake.members import File, Folder, Members, UnreadFile
from lrsearch.intake.statistics import LabelledImage, fingerprint_of, statistics_of

OnProgress = Callable[[int, int | None], None]
"""Is told after each file how many were looked at, of how many (None: not known)."""

_THREADS = min(4, os.cpu_count() or 1)
_AHEAD_FILES = 4 * _THREADS
_AHEAD_BYTES = 256 * MIB


@dataclass(frozen=True)
class BuiltDataSet:
    """A data set that is ready for jobs."""

    fingerprint: str
    """SHA-256 over the sorted lines `label NUL content-sha256 LF` of all readable images."""

    statistics: DataSetStatistics

    path: Path
    """The canonical archive."""


def build_data_set(
    members: Members, destination: Path, limits: IntakeLimits, progress: OnProgress
) -> BuiltDataSet:
    """Decode every image and write the canonical archive.

    Memory holds a few images and some hundred bytes for each file. The disk of `destination` must
    take the readable images twice until this is done.

    Args:
        members: The upload; closed afterwards.
        destination: Where the archive goes; it appears there whole or not at all.
        limits: How much the upload may hold.
        progress: Told after each file. What it raises ends the work.

    Raises:
        IntakeError: What the members raise, or `images_outside_labels`, `nested_folders`,
            `no_images`, `single_label`, `too_many_labels`, `label_name`, `label_empty`,
            `duplicate_across_labels` or `too_many_unreadable`. Nothing is left behind.
        OSError: The disk is full or fails. Nothing is left behind.
    """
    # A temporary file without a name: the system removes it even if the process is killed.
    with members, TemporaryFile(dir=destination.parent) as file:
        spool = Spool(file)
        findings = _look_at(members, spool, limits, progress)
        layout = layout_of(findings.folders, findings.files, findings.facts)
        images = [
            LabelledImage(*place, path, facts)
            for path, facts in findings.facts.items()
            if (place := layout.split(path))
        ]
        unreadable = {
            path: reason for path, reason in findings.unreadable.items() if layout.split(path)
        }
        require_sound(layout, images, unreadable, limits)
        write_canonical(images, spool, destination)
    return BuiltDataSet(fingerprint_of(images), statistics_of(images, unreadable), destination)


@dataclass
class _Findings:
    folders: list[str] = field(default_factory=list)
    facts: dict[str, ImageFacts] = field(default_factory=dict)
    """Of the readable images, by path."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Reasons, by path."""

    @property
    def files(self) -> list[str]:
        return [*self.facts, *self.unreadable]


def _look_at(
    members: Members, spool: Spool, limits: IntakeLimits, progress: OnProgress
) -> _Findings:
    findings = _Findings()
    for one in _inspected(members, limits):
        if isinstance(one, Folder):
            findings.folders.append(one.path)
            continue
        if isinstance(one, UnreadFile):
            findings.unreadable[one.path] = one.reason
        else:
            spool.add(one.facts.sha256, one.content)
            findings.facts[one.path] = one.facts
        progress(len(findings.facts) + len(findings.unreadable), members.total_files)
    return findings


@dataclass(frozen=True, slots=True)
class _Image:
    path: str
    content: bytes
    facts: ImageFacts


def _inspected(members: Members, limits: IntakeLimits) -> Iterator[Folder | UnreadFile | _Image]:
    """The members in their order, decoded by a few threads (Pillow lets go of the interpreter)."""
    running: deque[tuple[int, Future[UnreadFile | _Image]]] = deque()
    ahead_bytes = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for member in members:
            if not isinstance(member, File):
                yield member
                continue
            running.append((len(member.content), pool.submit(_inspect, member, limits)))
            ahead_bytes += len(member.content)
            while len(running) > _AHEAD_FILES or ahead_bytes > _AHEAD_BYTES:
                size, inspection = running.popleft()
                ahead_bytes -= size
                yield inspection.result()
        while running:
            yield running.popleft()[1].result()


def _inspect(file: File, limits: IntakeLimits) -> UnreadFile | _Image:
    verdict = inspect_image(file.content, limits.max_image_pixels)
    if isinstance(verdict, ImageFacts):
        return _Image(file.path, file.content, verdict)
    return UnreadFile(file.path, verdict)
