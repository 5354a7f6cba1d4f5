"""The scale of graduated rates that the prior recommends, against images per label."""

from typing import Final, NamedTuple

import numpy as np

from lrsearch.contract.protocols import PAPER_SCALES, Graduated
from lrsearch.contract.rates import STAGES
from lrsearch.contract.recipes import Recipe
from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.features import FEATURES
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.sizes import features_of_sizes

LABELS: Final = (2, 10, 30)
"""Numbers of labels for which a line is drawn."""

WIDE_SCALES: Final = (*PAPER_SCALES, 20.0, 40.0)
"""The paper's, and two beyond: where images are few, the best one is often the largest."""

MARKS: Final = (2, 5, 10, 20, 50, 100, 200)
"""Images per label that people look for."""

IMAGES: Final = tuple(
    sorted({*MARKS, *(int(n) for n in np.geomspace(MARKS[0], MARKS[-1], 33).round())})
)
"""Images per label at which lines are drawn."""

_WITHIN: Final = 0.01


class ScaleLine(NamedTuple):
    """What is recommended for some number of labels, at each of `IMAGES`."""

    labels: int
    best: list[float]
    low: list[float]
    """Of the scales around the best whose expected accuracy is within a point of its."""
    high: list[float]


class MeasuredScale(NamedTuple):
    """The best measured scale of a task of the evidence."""

    task: str
    domain: str
    labels: int
    images_per_label: float
    scale: float


def scale_lines(prior: Prior, recipe: Recipe | None = None) -> list[ScaleLine]:
    """A line for each of `LABELS`.

    Steps follow from the images and the recipe; what only a probe knows is at its mean over the
    evidence.

    Args:
        prior: What other tasks teach.
        recipe: How tasks are finetuned; None: the default one.
    """
    recipe = recipe or Recipe()
    graduated = Graduated(scale=list(WIDE_SCALES))
    rates = [graduated.rates(point) for point in graduated.points()]
    lines = []
    for labels in LABELS:
        line = ScaleLine(labels, [], [], [])
        for images in IMAGES:
            features = features_of_sizes(images, labels, recipe, prior.evidence)
            shares = prior.believe(features, rates).shares()
            best = low = high = int(shares.argmax())
            near = shares >= shares[best] - _WITHIN
            while low > 0 and near[low - 1]:
                low -= 1
            while high < len(near) - 1 and near[high + 1]:
                high += 1
            line.best.append(WIDE_SCALES[best])
            line.low.append(WIDE_SCALES[low])
            line.high.append(WIDE_SCALES[high])
        lines.append(line)
    return lines


def measured_scales(evidence: Evidence) -> list[MeasuredScale]:
    """The best measured scale of each task that was finetuned with graduated rates."""
    scales = _scales(evidence)
    images, labels = (FEATURES.index(name) for name in ("images per label", "labels"))
    found = []
    for task, (name, domain) in enumerate(zip(evidence.names, evidence.domains, strict=True)):
        rows = np.flatnonzero((evidence.tasks == task) & np.isfinite(scales))
        if len(rows):
            best = rows[evidence.values[rows].argmax()]
            found.append(
                MeasuredScale(
                    name,
                    domain,
                    round(2.0 ** evidence.features[task, labels]),
                    float(2.0 ** evidence.features[task, images]),
                    float(scales[best]),
                )
            )
    return found


def _scales(evidence: Evidence) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of each finetune; not a number where its rates are not graduated ones."""
    one = np.array([rate for _, rate in Graduated().rates({"scale": 1.0}).items()])
    scales = evidence.rates[:, STAGES.index("head")] / one[STAGES.index("head")]
    fits = np.isclose(evidence.rates, scales[:, None] * one, rtol=1e-4, atol=0.0).all(axis=1)
    # To the digits that single precision keeps.
    return np.where(fits, np.round(scales, 5), np.nan)
