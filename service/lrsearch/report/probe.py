"""What a probe has found, in a line."""

from lrsearch.contract.probes import Probe
from lrsearch.report.text import percent


def probe_line(probe: Probe) -> str:
    """The figures that matter most: how much there is, and what the source already knows of it."""
    spread = probe.images_per_label
    per_label = f"{spread.min}" if spread.min == spread.max else f"{spread.min} to {spread.max}"
    parts = [f"{probe.images} training images of {probe.labels} labels ({per_label} each)"]
    if probe.linear_top1 is not None:
        parts.append(
            f"frozen features {percent(probe.linear_top1)} linear, "
            f"{percent(probe.knn_top1)} by neighbours"
        )
    parts.append(f"chance {percent(probe.chance)}")
    return "; ".join(parts)
