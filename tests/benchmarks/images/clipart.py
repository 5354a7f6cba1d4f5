"""Clip art of things and of icons, in colour on white."""

import hashlib
from collections.abc import Iterator

from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture, fit
from tests.benchmarks.images.packages import Packages

_FOLDERS = {
    "thing-arrow": ("shapes/arrows",),
    "thing-bird": ("animals/birds",),
    "thing-boat": ("transportation/boating",),
    "thing-body-part": ("people/bodypart",),
    "thing-bug": ("animals/bugs",),
    "thing-building": ("buildings",),
    "thing-clothing": ("people/clothing",),
    "thing-computer": ("computer/hardware",),
    "thing-dessert": ("food/desserts",),
    "thing-drink": ("food/beverages",),
    "thing-face": ("people/smilies",),
    "thing-flag": ("signs_and_symbols/flags",),
    "thing-flower": ("plants/flowers",),
    "thing-fruit": ("food/fruit",),
    "thing-jigsaw": ("shapes/jigsaw",),
    "thing-led": ("signs_and_symbols/led",),
    "thing-mammal": ("animals/mammals",),
    "thing-map-symbol": ("signs_and_symbols/map_symbols",),
    "thing-meat": ("food/meats_and_eggs",),
    "thing-music": ("recreation/music",),
    "thing-party": ("recreation/party",),
    "thing-playing-card": ("recreation/games/cards",),
    "thing-road-sign": ("transportation/roadsigns",),
    "thing-sport": ("recreation/sports",),
    "thing-stick-man": ("people/stickmen",),
    "thing-tool": ("tools",),
    "thing-toy": ("recreation/toys",),
    "thing-vehicle": ("transportation/vehicles",),
    "icon-action": (
        "computer/icons/flat-theme/action",
        "computer/icons/lemon-theme/actions",
        "computer/icons/etiquette-theme/actions",
    ),
    "icon-application": (
        "computer/icons/flat-theme/applications",
        "computer/icons/lemon-theme/apps",
        "computer/icons/etiquette-theme/apps",
        "computer/icons/applications",
    ),
    "icon-device": ("computer/icons/flat-theme/device", "computer/icons/lemon-theme/devices"),
    "icon-filesystem": ("computer/icons/lemon-theme/filesystems",),
    "icon-mimetype": (
        "computer/icons/lemon-theme/mimetypes",
        "computer/icons/etiquette-theme/mimetypes",
    ),
}
"""Label → the topic folders (with all below them) that show it."""

_LARGEST_PIXELS = 20_000_000
"""A few flags are far larger, and slow to decode."""


def _pictures(packages: Packages) -> Iterator[Picture]:
    topics = packages.debian("openclipart-png") / "usr/share/openclipart/png"
    for label, folders in _FOLDERS.items():
        for file in (
            file for folder in folders for file in sorted((topics / folder).rglob("*.png"))
        ):
            try:
                with Image.open(file) as image:
                    if image.width * image.height > _LARGEST_PIXELS:
                        continue
                    picture = fit(image)
            except Image.DecompressionBombError:  # larger still
                continue
            content = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
            yield Picture(label, content, content, picture)


CLIPART = Domain(
    name="clipart",
    summary="Clip art; the label is the topic: 28 kinds of things and 5 kinds of icons.",
    packages=("Debian openclipart-png",),
    licence="public domain",
    credit="the Open Clip Art Library and its contributors",
    pictures=_pictures,
)
