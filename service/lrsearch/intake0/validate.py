"""From members to a data set: every image decoded, counted, and written to one canonical archive."""

import os
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path, PurePosixPath
from statistics import median
from tempfile import TemporaryDirectory

from lrsearch.contract.datasets import DataSetStatistics, LabelCount, Spread, UnreadableFile
from lrsearch.intake0.errors import IntakeError
from lrsearch.intake0.images import ImageFacts, inspect_image
from lrsearch.intake0.limits import IntakeLimits
from lrsearch.intake0.members import Layout, Member, layout_of

UNREADABLE_LISTED = 1000

BATCH = 32
"""Images decoded together: bounds the memory."""

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class BuiltDataSet:
    """A validated data set and its canonical archive."""

    fingerprint: str
    statistics: DataSetStatistics
    path: Path


def build_data_set(
    members: Iterator[Member], destination: Path, limits: IntakeLimits, progress: Progress
) -> BuiltDataSet:
    """Validate members and write the readable images as `label/filename` to a zip.

    The zip is stored without compression, its entries sorted, its dates fixed: the same images
    give the same bytes. Unreadable images are left out and listed.

    Args:
        members: the files.
        destination: where the archive will be; written beside it first, then renamed.
        limits: bounds.
        progress: called with the number of files seen, and their total where known.

    Raises:
        IntakeError: see the codes below; nothing is left at `destination`.
    """
    with TemporaryDirectory(dir=destination.parent, prefix="intake-") as folder:
        spool = _Spool(Path(folder), limits)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            done = 0
            while batch := list(islice(members, BATCH)):
                facts = pool.map(lambda member: inspect_image(member.content, limits), batch)
                for member, fact in zip(batch, facts, strict=True):
                    spool.add(member, fact)
                done += len(batch)
                progress(done, batch[-1].total)
        images = spool.placed()
        _require_labels(images, spool, limits)
        archive = Path(folder, "archive.zip")
        _write_archive(archive, images, spool)
        archive.replace(destination)
    return BuiltDataSet(_fingerprint(images), _statistics(images, spool), destination)


@dataclass(frozen=True)
class _Image:
    label: str
    name: str
    path: PurePosixPath
    content_sha256: str
    size: int
    facts: ImageFacts


@dataclass
class _Spool:
    """What has been seen so far; readable contents lie in a folder, by hash."""

    folder: Path
    limits: IntakeLimits
    readable: list[tuple[PurePosixPath, str, int, ImageFacts]] = field(default_factory=list)
    unreadable: list[UnreadableFile] = field(default_factory=list)
    layout: Layout = field(default_factory=lambda: Layout(0))

    def add(self, member: Member, facts: ImageFacts | str) -> None:
        if isinstance(facts, str):
            self.unreadable.append(UnreadableFile(path=str(member.path), reason=facts))
            return
        digest = sha256(member.content).hexdigest()
        file = self.folder / digest
        if not file.exists():
            file.write_bytes(member.content)
        self.readable.append((member.path, digest, len(member.content), facts))

    def placed(self) -> list[_Image]:
        """The readable images by label; forgets unreadable files that only stand beside labels."""
        self.layout = layout_of(
            [path for path, *_ in self.readable] + [PurePosixPath(u.path) for u in self.unreadable]
        )
        images = []
        for path, digest, size, facts in self.readable:
            place = self.layout.place(path)
            if place is not None:
                images.append(_Image(*place, path, digest, size, facts))
        self.unreadable = [
            file for file in self.unreadable if self.layout.place(PurePosixPath(file.path))
        ]
        return sorted(images, key=lambda image: (image.label, image.name))


def _require_labels(images: list[_Image], spool: _Spool, limits: IntakeLimits) -> None:
    labels = {image.label for image in images}
    unreadable = [file.path for file in spool.unreadable]
    if not images:
        raise IntakeError(
            "no_images",
            "there is no readable image; one folder of images for each label is wanted",
            unreadable,
        )
    for path in unreadable:
        place = spool.layout.place(PurePosixPath(path))
        if place is not None and place[0] not in labels:
            raise IntakeError(
                "label_empty",
                f"label {place[0]!r} has no readable image; mend its files or leave it out",
                [p for p in unreadable if PurePosixPath(p).parent == PurePosixPath(path).parent],
            )
    if len(labels) < 2:
        raise IntakeError(
            "single_label",
            f"there is one label only, {next(iter(labels))!r}; a classifier needs two or more",
        )
    if len(labels) > limits.max_labels:
        raise IntakeError("too_many_labels", f"{len(labels)} labels; at most {limits.max_labels}")
    share = len(unreadable) / (len(unreadable) + len(images))
    if share > limits.max_unreadable_share:
        raise IntakeError(
            "too_many_unreadable",
            f"{len(unreadable)} of {len(unreadable) + len(images)} files cannot be read as "
            f"images; up to {limits.max_unreadable_share:.0%} would be left out",
            unreadable,
        )
    _require_one_label_for_each_content(images)


def _require_one_label_for_each_content(images: list[_Image]) -> None:
    by_content: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        by_content[image.content_sha256].append(image)
    twice = [same for same in by_content.values() if len({image.label for image in same}) > 1]
    if twice:
        first = twice[0]
        raise IntakeError(
            "duplicate_across_labels",
            f"{first[0].path} and {first[-1].path} are the same image under different labels"
            + (f", and so are {len(twice) - 1} others" if len(twice) > 1 else "")
            + "; keep each under one label",
            [str(image.path) for same in twice for image in same],
        )


def _write_archive(archive: Path, images: list[_Image], spool: _Spool) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as out:
        for image in images:
            info = zipfile.ZipInfo(f"{image.label}/{image.name}", ZIP_EPOCH)
            info.external_attr = 0o100644 << 16
            out.writestr(info, (spool.folder / image.content_sha256).read_bytes())


def _fingerprint(images: list[_Image]) -> str:
    lines = sorted(f"{image.label}\0{image.content_sha256}\n" for image in images)
    return sha256("".join(lines).encode()).hexdigest()


def _statistics(images: list[_Image], spool: _Spool) -> DataSetStatistics:
    by_label: dict[str, list[_Image]] = defaultdict(list)
    for image in images:
        by_label[image.label].append(image)
    return DataSetStatistics(
        images=len(images),
        distinct_images=len({image.content_sha256 for image in images}),
        labels=[
            LabelCount(
                label=label,
                images=len(of_label),
                distinct=len({image.content_sha256 for image in of_label}),
            )
            for label, of_label in sorted(by_label.items())
        ],
        images_per_label=_spread([len(of_label) for of_label in by_label.values()]),
        widths=_spread([image.facts.width for image in images]),
        heights=_spread([image.facts.height for image in images]),
        formats=dict(Counter(image.facts.format for image in images)),
        duplicates_within_label=0,
        modes=dict(Counter(image.facts.mode for image in images)),
        bytes=sum(image.size for image in images),
        unreadable=spool.unreadable[:UNREADABLE_LISTED],
        unreadable_total=len(spool.unreadable),
    )


def _spread(numbers: list[int]) -> Spread:
    return Spread(min=min(numbers), median=float(median(numbers)), max=max(numbers))
