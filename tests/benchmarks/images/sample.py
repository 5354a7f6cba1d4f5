"""The target data set that ships: a part of the silhouettes, without look-alikes, as a ZIP file."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_IMAGES_PER_LABEL = 150
_ALIKE = 0.95
"""Pictures whose pixels correlate more than this count as one."""


def write_sample(silhouettes: Path, archive: Path) -> int:
    """Writes `LABEL/FILE.png` for each label of the folder `silhouettes` into a new ZIP file.

    No two of the pictures look alike, within a label or across labels. The same folder gives the
    same bytes.

    Returns:
        The number of images.
    """
    chosen: list[Path] = []
    pixels: list[NDArray[np.float32]] = []
    for label in sorted(path for path in silhouettes.iterdir() if path.is_dir()):
        count = 0
        # By content: as good as at random, and always the same.
        for path in sorted(label.glob("*.png"), key=_digest):
            picture = _standardised(path)
            if pixels and (np.stack(pixels) @ picture).max() > _ALIKE:
                continue
            chosen.append(path)
            pixels.append(picture)
            count += 1
            if count == _IMAGES_PER_LABEL:
                break
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in chosen:
            entry = zipfile.ZipInfo(path.relative_to(silhouettes).as_posix())
            entry.external_attr = 0o644 << 16
            file.writestr(entry, path.read_bytes())
    return len(chosen)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _standardised(path: Path) -> NDArray[np.float32]:
    """Its pixels with mean 0 and length 1, so that a product of two is their correlation."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("L"), np.float32).ravel()
    values = values - values.mean()
    return np.asarray(values / np.linalg.norm(values), np.float32)
