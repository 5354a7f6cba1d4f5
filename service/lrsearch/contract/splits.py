"""How many images of a label train, validate and test: one rule for service and worker."""

from typing import NamedTuple

from lrsearch.contract.recipes import Splits


class SplitSizes(NamedTuple):
    """Images of one label in each split."""

    train: int
    validation: int
    test: int


def split_sizes(images: int, splits: Splits) -> SplitSizes:
    """Sizes of the three splits of a label with `images` images of distinct content.

    Test gets `round(images * splits.test)`, which is 0 only where `splits.test` is 0 or the images
    are too few for it (2 at the default of 20 %); validation gets `round(images *
    splits.validation)`, but at least 1; training gets the rest. Halves round to the even number,
    as Python's `round` does.

    Raises:
        ValueError: No image would be left to train on.
    """
    test = round(images * splits.test)
    validation = max(1, round(images * splits.validation))
    train = images - test - validation
    if train < 1:
        raise ValueError(
            f"a label has {images} images; with validation {splits.validation:g} and test "
            f"{splits.test:g}, {validation} would validate, {test} test, and none be left to "
            "train on; give it more images or lower the shares"
        )
    return SplitSizes(train, validation, test)
