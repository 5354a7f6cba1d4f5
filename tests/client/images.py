"""Small data sets for uploads."""

from pathlib import Path

from PIL import Image


def write_images(folder: Path, labels: int = 2, images: int = 20) -> Path:
    """A folder of `labels` folders with so many different images each."""
    for label in range(labels):
        (folder / f"label-{label}").mkdir(parents=True)
        for number in range(images):
            colour = (2 * number, 80 * label, 100)
            Image.new("RGB", (16, 16), colour).save(folder / f"label-{label}" / f"{number:03}.png")
    return folder
