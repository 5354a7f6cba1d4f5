"""Checks: whether labelled images make a data set that a classifier can be finetuned on."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from lrsearch.contract.datasets import DataSetProblem
from lrsearch.intake.errors import MAX_PATHS, IntakeError
from lrsearch.intake.layout import Layout
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.statistics import LabelledImage


def require_sound(
    layout: Layout,
    images: Collection[LabelledImage],
    unreadable: Mapping[str, str],
    limits: IntakeLimits,
) -> None:
    """Check a whole data set; everything that is wrong is told at once.

    Args:
        layout: Its label folders.
        images: Its readable images.
        unreadable: Reasons of the unreadable files in label folders, by path.
        limits: How much there may be of each.

    Raises:
        IntakeError: `no_images`, or else one or more of `single_label`, `too_many_labels`,
            `label_name`, `label_empty`, `duplicate_across_labels` and `too_many_unreadable`.
    """
    if not images:
        raise _no_images(unreadable)
    problems = [
        *_number_of_labels(layout, limits),
        *_label_names(layout, limits),
        *_empty_labels(layout, images),
        *_duplicates(images),
        *_too_many_unreadable(images, unreadable, limits),
    ]
    if problems:
        raise IntakeError.of(problems)


def _no_images(unreadable: Mapping[str, str]) -> IntakeError:
    if not unreadable:
        return IntakeError(
            "no_images", "There is no image in a label folder: one folder per label is expected."
        )
    path, reason = min(unreadable.items())
    return IntakeError(
        "no_images",
        f"None of the {len(unreadable)} files can be read; {path!r}: {reason}.",
        sorted(unreadable),
    )


def _number_of_labels(layout: Layout, limits: IntakeLimits) -> Iterator[DataSetProblem]:
    labels = sorted(layout.labels)
    if len(labels) == 1:
        yield _problem(
            "single_label",
            f"There is one label only, {labels[0]!r}: to tell apart, two or more are needed.",
            [layout.prefix + labels[0]],
        )
    if len(labels) > limits.max_labels:
        yield _problem(
            "too_many_labels",
            f"There are {len(labels)} label folders; {limits.max_labels} are the limit.",
        )


def _label_names(layout: Layout, limits: IntakeLimits) -> Iterator[DataSetProblem]:
    long = sorted(label for label in layout.labels if len(label) > limits.max_label_characters)
    if long:
        yield _problem(
            "label_name",
            f"{len(long)} labels have more than {limits.max_label_characters} characters, such as "
            f"{long[0][:60]!r}…: name their folders shorter.",
            [layout.prefix + label for label in long],
        )


def _empty_labels(layout: Layout, images: Collection[LabelledImage]) -> Iterator[DataSetProblem]:
    empty = sorted(layout.labels - {image.label for image in images})
    if empty:
        yield _problem(
            "label_empty",
            f"{len(empty)} label folders hold no readable image, such as {empty[0]!r}: "
            "fill or remove them.",
            [layout.prefix + label for label in empty],
        )


def _duplicates(images: Collection[LabelledImage]) -> Iterator[DataSetProblem]:
    by_content: defaultdict[str, list[LabelledImage]] = defaultdict(list)
    for image in images:
        by_content[image.facts.sha256].append(image)
    torn = sorted(
        sorted(image.path for image in same)
        for same in by_content.values()
        if len({image.label for image in same}) > 1
    )
    if torn:
        yield _problem(
            "duplicate_across_labels",
            f"{len(torn)} images stand under more than one label, such as "
            f"{' and '.join(map(repr, torn[0][:3]))}: keep the right label of each.",
            [path for same in torn for path in same],
        )


def _too_many_unreadable(
    images: Collection[LabelledImage], unreadable: Mapping[str, str], limits: IntakeLimits
) -> Iterator[DataSetProblem]:
    files = len(images) + len(unreadable)
    if len(unreadable) > limits.max_unreadable_share * files:
        path, reason = min(unreadable.items())
        yield _problem(
            "too_many_unreadable",
            f"{len(unreadable)} of {files} files cannot be read, more than "
            f"{limits.max_unreadable_share:.0%}; {path!r}: {reason}.",
            sorted(unreadable),
        )


def _problem(code: str, message: str, paths: Sequence[str] = ()) -> DataSetProblem:
    return DataSetProblem(code=code, message=message, paths=list(paths[:MAX_PATHS]))
