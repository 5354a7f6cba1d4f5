"""A probe, as a worker would report it."""

from typing import Any

from lrsearch.contract.datasets import Spread
from lrsearch.contract.probes import Probe, StageCounts, StageRatios


def a_probe(**changes: Any) -> Probe:
    """Of ten silhouettes each of three animals on the source model `general`."""
    fields: dict[str, Any] = {
        "architecture": "resnet27",
        "parameters": StageCounts(
            conv1=1_000, conv2=9_000, conv3=55_000, conv4=440_000, conv5=880_000, head=387
        ),
        "images": 30,
        "labels": 3,
        "images_per_label": Spread(min=10, median=10, max=10),
        "input_size": 32,
        "label_entropy": 1.0,
        "chance": 1 / 3,
        "images_used": 30,
        "knn_top1": 0.6,
        "linear_top1": 0.7,
        "head_losses": [1.09, 0.8],
        "gradient_ratios": StageRatios(
            conv1=0.09, conv2=0.06, conv3=0.05, conv4=0.04, conv5=0.01, head=0.2
        ),
        "seconds": 0.3,
    }
    return Probe(**{**fields, **changes})
