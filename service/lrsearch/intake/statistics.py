"""Statistics and fingerprint of labelled images."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import median

from lrsearch.contract.datasets import DataSetStatistics, LabelCount, Spread, UnreadableFile
from lrsearch.intake.images import ImageFacts

MAX_UNREADABLE = 1000
"""So many unreadable files are named."""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """A readable image of a data set."""

    label: str
    name: str
    """Of the file, within the label's folder."""
    path: str
    """As it was sent."""
    facts: ImageFacts


def fingerprint_of(images: Collection[LabelledImage]) -> str:
    """SHA-256 of the labelled contents, whatever the images' names and order."""
    digest = sha256()
    for line in sorted(f"{image.label}\0{image.facts.sha256}\n" for image in images):
        digest.update(line.encode())
    return digest.hexdigest()


def statistics_of(
    images: Collection[LabelledImage], unreadable: Mapping[str, str]
) -> DataSetStatistics:
    """Count images, of which there must be one or more.

    Args:
        images: The readable ones.
        unreadable: Reasons of those left out, by path.
    """
    facts = [image.facts for image in images]
    contents: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for image in images:
        contents[image.label][image.facts.sha256] += 1
    labels = [
        LabelCount(label=label, images=counts.total(), distinct=len(counts))
        for label, counts in sorted(contents.items())
    ]
    return DataSetStatistics(
        labels=labels,
        images=len(images),
        distinct_images=len({one.sha256 for one in facts}),
        duplicates_within_label=sum(label.images - label.distinct for label in labels),
        images_per_label=_spread([label.images for label in labels]),
        widths=_spread([one.width for one in facts]),
        heights=_spread([one.height for one in facts]),
        modes=dict(Counter(one.mode for one in facts).most_common()),
        formats=dict(Counter(one.format for one in facts).most_common()),
        bytes=sum(one.size_bytes for one in facts),
        unreadable=[
            UnreadableFile(path=path, reason=reason)
            for path, reason in sorted(unreadable.items())[:MAX_UNREADABLE]
        ],
        unreadable_total=len(unreadable),
    )


def _spread(values: Sequence[int]) -> Spread:
    return Spread(min=min(values), median=median(values), max=max(values))
