"""Lays pictures out as image folders: `FOLDER/LABEL/FILE.png`, with `groups.json`."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.images.domain import Domain, Picture

GROUPS_FILE = "groups.json"
"""{relative path: group}; pictures of one group belong on one side of a split."""
LICENCE_FILE = "LICENCE.txt"


@dataclass(frozen=True)
class Written:
    """What a folder came to hold."""

    images: int
    labels: int
    groups: int
    repeated: int
    """Pictures left out since their pixels had come before."""


def write(folder: Path, domain: Domain, pictures: Iterable[Picture]) -> Written:
    """Writes `pictures` under `folder`, which must not exist; of identical ones the first stays."""
    # The rename at the end makes an interrupted run leave nothing that looks complete.
    work = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(work, ignore_errors=True)
    groups: dict[str, str] = {}
    labels: set[str] = set()
    contents: set[bytes] = set()
    repeated = 0
    for picture in pictures:
        image = picture.image
        content = hashlib.sha256(f"{image.mode}{image.size}".encode() + image.tobytes()).digest()
        relative = f"{picture.label}/{picture.name}.png"
        if content in contents or relative in groups:
            repeated += 1
            continue
        contents.add(content)
        if picture.label not in labels:
            labels.add(picture.label)
            (work / picture.label).mkdir(parents=True)
        image.save(work / relative)
        groups[relative] = picture.group
        if len(groups) % 10_000 == 0:
            print(f"{domain.name}: {len(groups)} images so far", flush=True)
    (work / GROUPS_FILE).write_text(json.dumps(groups, indent=0, sort_keys=True))
    (work / LICENCE_FILE).write_text(_licence(domain))
    work.rename(folder)
    return Written(len(groups), len(labels), len(set(groups.values())), repeated)


def read_groups(folder: Path) -> dict[str, str]:
    """The groups of the folder that `write` wrote: {relative path: group}."""
    groups: dict[str, str] = json.loads((folder / GROUPS_FILE).read_text())
    return groups


def _licence(domain: Domain) -> str:
    return (
        f"{domain.summary}\n"
        f"Licence: {domain.licence}\n"
        f"Credit: {domain.credit}\n"
        f"From: {', '.join(domain.packages)}\n"
    )
