"""Features of a task of which only its sizes are known."""

from math import ceil, log2
from typing import Final

from lrsearch.contract.recipes import Recipe
from lrsearch.search.prior.evidence import Evidence
from lrsearch.search.prior.features import FEATURES, Vector, typical_features

SIZES: Final = ("images per label", "labels", "steps")
"""Features that need no probe."""


def features_of_sizes(
    images_per_label: float, labels: int, recipe: Recipe, evidence: Evidence
) -> Vector:
    """The features of a task, shape `(len(FEATURES),)`.

    Steps follow from the images and the recipe; what only a probe knows is taken at its mean over
    the tasks of the evidence.

    Args:
        images_per_label: Training images of a label, 1 or more.
        labels: 1 or more.
        recipe: How it is finetuned.
        evidence: Finetunes of known tasks.
    """
    steps = recipe.epochs * ceil(images_per_label * labels / recipe.batch_size)
    features = typical_features(evidence.features)
    for name, size in zip(SIZES, (images_per_label, labels, steps), strict=True):
        features[FEATURES.index(name)] = log2(size)
    return features
