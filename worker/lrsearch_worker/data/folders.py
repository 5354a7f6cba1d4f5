"""A folder of labelled images: one folder a label, decoded once into a cached array."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lrsearch_worker.data.decode import Pixels, Progress, decode_all

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
GROUPS_FILE = "groups.json"


class FolderImages(NamedTuple):
    """The images of a folder, in the order of their relative paths."""

    pixels: Pixels
    """Memory-mapped, shape `(images, side, side, 3)`."""
    labels: NDArray[np.int64]
    """Index into `label_names` of each image."""
    label_names: list[str]
    groups: list[str]
    """Images of one group may not be split between training and held-out."""
    fingerprint: str
    """SHA-256 over paths, file sizes and groups."""


def read_folder(folder: Path, side: int, cache: Path, progress: Progress) -> FolderImages:
    """Decode all images below `folder`, or take them from `cache`.

    An image's label is the path of the folder that it lies in. A file `groups.json`
    (`{relative path: group}`) at the top groups images; one that it does not name stands alone.

    Args:
        folder: Holds the labels' folders.
        side: Pixels a side.
        cache: Folder that keeps the array, for other runs with the same images.
        progress: Told of images decoded.

    Raises:
        ValueError: There are no images, or fewer than two labels, or the groups are malformed.
        UnreadableImageError: An image cannot be decoded.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    stems = [str(Path(name).parent.as_posix()) for name in names]
    label_names = sorted(set(stems))
    if len(label_names) < 2:
        raise ValueError(
            f"{folder} holds {len(paths)} images in {len(label_names)} folders; "
            "training needs at least two labels, each a folder of images"
        )
    given = _read_groups(folder / GROUPS_FILE)
    groups = [given.get(name, name) for name in names]
    listing = [[n, p.stat().st_size, g] for n, p, g in zip(names, paths, groups, strict=True)]
    fingerprint = hashlib.sha256(json.dumps(listing).encode()).hexdigest()

    cache.mkdir(parents=True, exist_ok=True)
    array = cache / f"{fingerprint[:32]}-{side}.npy"
    if not array.exists():
        partial_file = array.with_suffix(".partial")
        shape = (len(paths), side, side, 3)
        pixels = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
        decode_all((partial(_read, p) for p in paths), pixels, progress)
        pixels.flush()
        partial_file.replace(array)
    index = {label: i for i, label in enumerate(label_names)}
    return FolderImages(
        pixels=np.load(array, mmap_mode="r"),
        labels=np.array([index[label] for label in stems], dtype=np.int64),
        label_names=label_names,
        groups=groups,
        fingerprint=fingerprint,
    )


def held_out(images: FolderImages, share: float, seed: int) -> NDArray[np.bool_]:
    """Which images are held out: `share` of each label's, as nearly as whole groups allow.

    Groups are visited in an order drawn from `seed`; one is held out if at least half of its
    images still lack in the held-out part of their labels. No label loses all of its images.

    Returns:
        A mask of shape `(images,)`.
    """
    members: dict[str, list[int]] = {}
    for i, group in enumerate(images.groups):
        members.setdefault(group, []).append(i)
    order = sorted(members, key=lambda g: hashlib.sha256(f"{seed}\0{g}".encode()).digest())
    labels = len(images.label_names)
    left = np.bincount(images.labels, minlength=labels)
    lacking = np.floor(left * share + 0.5).astype(np.int64)
    mask = np.zeros(len(images.labels), dtype=np.bool_)
    for group in order:
        inside = np.bincount(images.labels[members[group]], minlength=labels)
        useful = np.minimum(inside, np.maximum(lacking, 0)).sum()
        empties_a_label = bool(((left - inside <= 0) & (inside > 0)).any())
        if 2 * useful >= inside.sum() and not empties_a_label:
            mask[members[group]] = True
            lacking -= inside
            left -= inside
    return mask


def _read(path: Path) -> tuple[bytes, str]:
    return path.read_bytes(), str(path)


def _read_groups(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    groups = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(groups, dict) or not all(isinstance(g, str) for g in groups.values()):
        raise ValueError(f"{path} must be a JSON object of relative path to group name")
    return groups
