"""Things cut out of photographs, in colour on white."""

import hashlib
import re
from collections.abc import Iterator

from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture, fit
from tests.benchmarks.images.packages import Packages

_FOLDERS = {
    "bird": ("animals/birds",),
    "coin": (
        "symbols/money/canadian",
        "symbols/money/euro",
        "symbols/money/japanese",
        "symbols/money/us",
    ),
    "flower": ("plants/flowers",),
    "fruit": ("food/fruit",),
    "household": ("household",),
    "mammal": ("animals/mammals", "animals/marsupials"),
    "planet": ("space/moon", "space/planets"),
    "road-sign": ("town/roadsigns",),
    "sea-animal": ("animals/fish", "animals/shellfish"),
    "vegetable": ("food/spices", "food/vegetables"),
    "vehicle": ("military/vehicles", "vehicles"),
}
"""Label → the folders (with all below them) that show it: those of at least a dozen photographs."""

_LEFT_OUT = re.compile(
    r"cartoon|_mirror|_flip"
    # Drawings and toys; a car's layer of colour alone; wheels are no vehicles.
    r"|/toys/|/hedgehog\.png|/sedan_police\.png|/7spoke256\.png|/wheel_tractor\.png"
)


def _pictures(packages: Packages) -> Iterator[Picture]:
    stamps = packages.debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    for label, folders in _FOLDERS.items():
        for file in (
            file for folder in folders for file in sorted((stamps / folder).rglob("*.png"))
        ):
            if _LEFT_OUT.search(file.as_posix()):
                continue
            with Image.open(file) as image:
                picture = fit(image)
            content = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
            yield Picture(label, content, content, picture)


CUTOUTS = Domain(
    name="cutouts",
    summary="Things cut out of photographs; the label is the kind of thing (11).",
    packages=("Debian tuxpaint-stamps-default",),
    licence="GPL-2: for benchmarks only; nothing that derives from these images ships",
    credit="Tux Paint's stamps, copyright 2002-2022 Bill Kendrick, by its contributors",
    pictures=_pictures,
)
