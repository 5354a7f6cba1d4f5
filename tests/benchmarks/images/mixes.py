"""What source models are trained on: parts of domains, put together.

`letters` and `general` ship; `emoji` and `garments` are for benchmarks, near to other targets.
A mix holds letters, garments, emoji and clip art only: all other domains are targets.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.images.folders import GROUPS_FILE, read_groups


@dataclass(frozen=True)
class Part:
    """The images that a mix takes from a domain."""

    domain: str
    images: int
    """How many at most, the same share of every label."""
    smallest_label: int = 12
    """Labels of fewer images are left out."""


MIXES = {
    "letters-source": (Part("letters", 40_000),),
    "general-source": (
        Part("letters", 14_000),
        Part("garments", 12_000),
        Part("emoji", 8_000),
        Part("clipart", 6_000),
    ),
    "emoji-source": (Part("emoji", 8_000),),
    "garments-source": (Part("garments", 12_000, smallest_label=0),),
}
"""Name of a mix → its parts; its labels are `DOMAIN/LABEL`."""


def write_mix(out: Path, name: str) -> int:
    """Writes the image folder `out/name` as links to the images of the domains in `out`.

    Returns:
        The number of images.
    """
    folder = out / name
    work = out / f".{name}.unfinished"
    shutil.rmtree(work, ignore_errors=True)
    groups: dict[str, str] = {}
    for part in MIXES[name]:
        source = read_groups(out / part.domain)
        for relative in _choose(sorted(source), part):
            target = f"{part.domain}/{relative}"
            (work / target).parent.mkdir(parents=True, exist_ok=True)
            (work / target).hardlink_to(out / part.domain / relative)
            groups[target] = f"{part.domain}/{source[relative]}"
    (work / GROUPS_FILE).write_text(json.dumps(groups, indent=0, sort_keys=True))
    work.rename(folder)
    return len(groups)


def _choose(paths: list[str], part: Part) -> list[str]:
    """The same share of every label, by a hash of the name: as good as random, always the same."""
    by_label: dict[str, list[str]] = {}
    for path in paths:
        by_label.setdefault(path.split("/")[0], []).append(path)
    labels = [files for files in by_label.values() if len(files) >= part.smallest_label]
    share = min(1.0, part.images / sum(len(files) for files in labels))
    return [
        path
        for files in labels
        for path in sorted(files, key=lambda path: hashlib.sha256(path.encode()).digest())[
            : round(share * len(files))
        ]
    ]
