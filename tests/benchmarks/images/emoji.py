"""Emoji of two artists, in colour on white."""

import json
import re
from collections.abc import Iterator

from PIL import Image

from tests.benchmarks.images.domain import Domain, Picture, fit
from tests.benchmarks.images.packages import Packages

_ARTISTS = ("google", "twitter")


def _pictures(packages: Packages) -> Iterator[Picture]:
    for artist in _ARTISTS:
        folder = packages.npm(f"emoji-datasource-{artist}", "16.0.0") / "package"
        for emoji in json.loads((folder / "emoji.json").read_text()):
            label = _slug(emoji["subcategory"])
            group = _base_name(emoji["name"])
            for variant in (emoji, *emoji.get("skin_variations", {}).values()):
                if not variant[f"has_img_{artist}"]:
                    continue
                file = folder / "img" / artist / "64" / variant["image"]
                with Image.open(file) as image:
                    yield Picture(label, f"{artist}-{file.stem}", group, fit(image))


def _base_name(name: str) -> str:
    """What an emoji shows, whatever the sex of who shows it: `MAN COOK` → `cook`."""
    shown = re.sub(r"\b(WO)?M[AE]N\b|\b(FE)?MALE\b|\bPERSON\b|\bSIGN\b", "", name)
    return _slug(shown) or _slug(name)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


EMOJI = Domain(
    name="emoji",
    summary="Emoji drawn by Google and by Twitter; the label is the emoji's subcategory (99).",
    packages=("npm emoji-datasource-google 16.0.0", "npm emoji-datasource-twitter 16.0.0"),
    licence="Apache-2.0 (Google's images), CC-BY-4.0 (Twitter's images)",
    credit=(
        "Noto Emoji, copyright Google LLC, Apache-2.0; "
        "Twemoji, copyright Twitter, Inc. and other contributors, CC-BY-4.0 "
        "(creativecommons.org/licenses/by/4.0), scaled and flattened onto white"
    ),
    pictures=_pictures,
)
