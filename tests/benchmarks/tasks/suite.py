"""The tasks: real images of several domains, 2 to 30 labels, 3 to 100 images a label.

In each domain some tasks differ in nothing but the images per label. A source model is near to some
tasks and far from others; none has been trained on a domain whose tasks it is used for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lrsearch.contract.recipes import Recipe

GENERAL, LETTERS, EMOJI, GARMENTS = "general", "letters", "emoji", "garments"

IMAGENET: Final = "imagenet"
"""What `tests.benchmarks.efficientnet` writes; only tasks of few images are affordable with it."""

INPUT_SIZES: Final = {IMAGENET: 64}
"""Pixels a side, where they are not the source's own."""


@dataclass(frozen=True)
class SuiteTask:
    """What somebody wants a classifier for."""

    name: str
    domain: str
    """Folder that `tests.benchmarks.images fetch` wrote."""
    labels: Mapping[str, tuple[str, ...]]
    """Label → the domain's folders that it is made of."""
    images_per_label: int
    """To train on; validation and test come on top, in the service's shares."""
    sources: tuple[str, ...]
    """Source models that it is run with."""
    draw: int = 0
    """Which images; tasks with the same draw are nested."""


def recipe_of(source: str, seed: int = 0) -> Recipe:
    """How all tasks are finetuned from a source model."""
    return Recipe(seed=seed, input_size=INPUT_SIZES.get(source))


def _series(
    name: str,
    domain: str,
    folders: Iterable[str] | Mapping[str, tuple[str, ...]],
    images_per_label: Iterable[int],
    sources: tuple[str, ...],
) -> list[SuiteTask]:
    """Tasks that differ in their images per label alone."""
    labels = folders if isinstance(folders, Mapping) else {f: (f,) for f in folders}
    return [SuiteTask(f"{name}-{n}", domain, labels, n, sources) for n in images_per_label]


_DIGITS: Final = tuple("0123456789")
_SILHOUETTES: Final = (
    *("bear", "bird", "cat", "cow", "dog", "elephant", "giraffe", "horse", "sheep", "zebra"),
)
_GARMENTS: Final = (
    *("ankle-boot", "bag", "coat", "dress", "pullover", "sandal", "shirt", "sneaker", "t-shirt"),
    "trouser",
)
_LATIN_CAPITALS: Final = tuple(f"latin-capital-{letter}" for letter in "abcdefghijklmnopqrst")
_LATIN_BOTH: Final = tuple(
    f"latin-{case}-{letter}" for case in ("capital", "small") for letter in "abdefghklmnqrty"
)
_LATIN_SMALL: Final = tuple(f"latin-small-{letter}" for letter in "bdpq")
_GREEK: Final = tuple(
    f"greek-small-{letter}"
    for letter in (
        *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"),
        *("lamda", "mu"),
    )
)
_CYRILLIC: Final = tuple(
    f"cyrillic-small-{letter}"
    for letter in (
        *("ve", "ghe", "de", "zhe", "ze", "i", "el", "em", "en", "pe", "te", "ef", "tse", "che"),
        *("sha", "ya"),
    )
)
_EMOJI_FOOD: Final = {
    "fruit-and-vegetable": ("food-fruit", "food-vegetable"),
    "prepared": ("food-prepared", "food-asian"),
    "sweet-and-drink": ("food-sweet", "drink"),
}
_EMOJI_ANIMALS: Final = {
    "bird": ("animal-bird",),
    "mammal": ("animal-mammal",),
    "sea-and-reptile": ("animal-marine", "animal-reptile"),
    "bug": ("animal-bug",),
}
_EMOJI_OBJECTS: Final = {
    "clothing": ("clothing",),
    "building": ("place-building", "place-other"),
    "vehicle": ("transport-ground", "transport-air", "transport-water"),
    "tool": ("tool", "household"),
    "weather": ("sky-weather",),
    "clock": ("time",),
    "writing": ("office", "book-paper", "mail"),
    "face": ("face-concerned", "face-smiling", "face-neutral-skeptical", "face-unwell"),
}
_EMOJI_SYMBOLS: Final = {
    "geometric": ("geometric",),
    "alphanumeric": ("alphanum", "keycap"),
    "arrow": ("arrow", "av-symbol"),
    "heart": ("heart", "emotion"),
    "sign": ("transport-sign", "warning", "zodiac"),
}
_CLIPART_THINGS: Final = tuple(
    f"thing-{kind}"
    for kind in (
        *("arrow", "building", "clothing", "dessert", "fruit", "mammal", "music", "road-sign"),
        *("sport", "tool"),
    )
)
_CLIPART_MANY: Final = tuple(
    f"thing-{kind}"
    for kind in (
        *("arrow", "bird", "boat", "bug", "building", "clothing", "computer", "dessert", "drink"),
        *("face", "flag", "flower", "fruit", "jigsaw", "led", "mammal", "map-symbol", "music"),
        *("party", "playing-card", "road-sign", "sport", "stick-man", "tool", "vehicle"),
    )
)
_CLIPART_SIGNS: Final = tuple(f"thing-{kind}" for kind in ("flag", "map-symbol", "playing-card"))
_ICONS: Final = tuple(
    f"icon-{kind}" for kind in ("action", "application", "device", "filesystem", "mimetype")
)
_ARABIC: Final = tuple(
    f"arabic-{letter}"
    for letter in (
        *("ain", "alef", "beh", "dal", "feh", "hah", "heh", "kaf", "lam", "meem", "noon", "qaf"),
        *("reh", "sad", "seen", "waw"),
    )
)
_GEORGIAN: Final = tuple(
    f"georgian-{letter}"
    for letter in (
        *("an", "ban", "can", "char", "don", "en", "gan", "kan", "las", "man", "nar", "on"),
        *("par", "rae"),
    )
)
_TELUGU: Final = tuple(
    f"telugu-{letter}" for letter in ("a", "ba", "ca", "da", "ga", "ka", "ma", "na", "pa", "ra")
)
_LETTERS_OF: Final = {
    "arabic": ("ain", "beh", "dal", "feh", "heh", "kaf", "meem", "seen"),
    "devanagari": ("a", "ba", "ca", "da", "ga", "ka", "ma", "ta"),
    "georgian": ("an", "ban", "don", "gan", "kan", "man", "nar", "rae"),
    "hebrew": ("alef", "bet", "dalet", "gimel", "lamed", "mem", "shin", "tet"),
    "malayalam": ("a", "ba", "ca", "da", "ga", "ka", "ma", "ta"),
    "telugu": ("a", "ba", "ca", "da", "ga", "ka", "ma", "ta"),
    "thai": ("bo-baimai", "cho-chan", "do-dek", "ho-hip", "ko-kai", "mo-ma", "ro-rua", "so-so"),
}
_SCRIPTS: Final = {
    script: tuple(f"{script}-{letter}" for letter in letters)
    for script, letters in _LETTERS_OF.items()
}
_CUTOUTS: Final = ("bird", "coin", "flower", "fruit", "household", "mammal")
_CUTOUT_KINDS: Final = {
    "animal": ("bird", "mammal", "sea-animal"),
    "plant": ("flower", "fruit", "vegetable"),
    "made": ("coin", "household", "road-sign", "vehicle"),
}

_TASKS: Final = (
    *_series("silhouettes", "silhouettes", _SILHOUETTES, (3, 5, 10, 25), (GENERAL, LETTERS)),
    *_series("pets", "silhouettes", ("cat", "dog"), (10, 60), (GENERAL, LETTERS, EMOJI)),
    *_series("hoofed", "silhouettes", ("cow", "horse", "sheep", "zebra"), (40,), (GENERAL,)),
    *_series("digits", "digits", _DIGITS, (3, 5, 12, 30), (LETTERS, EMOJI)),
    *_series("four-or-nine", "digits", ("4", "9"), (8, 40), (GENERAL, LETTERS, EMOJI)),
    *_series("garments", "garments", _GARMENTS, (5, 12, 30), (LETTERS, EMOJI)),
    *_series("tops", "garments", ("coat", "pullover", "shirt"), (20, 80), (LETTERS, EMOJI)),
    *_series("capitals", "letters", _LATIN_CAPITALS, (5, 14), (EMOJI, GARMENTS)),
    *_series("latin", "letters", _LATIN_BOTH, (4, 10), (EMOJI, GARMENTS)),
    *_series("bdpq", "letters", _LATIN_SMALL, (10, 60), (EMOJI, GARMENTS)),
    *_series("greek", "letters", _GREEK, (5,), (EMOJI, GARMENTS)),
    *_series("cyrillic", "letters", _CYRILLIC, (7,), (EMOJI, GARMENTS)),
    *_series("emoji-food", "emoji", _EMOJI_FOOD, (8, 14), (LETTERS, GARMENTS)),
    *_series("emoji-animals", "emoji", _EMOJI_ANIMALS, (7,), (LETTERS, GARMENTS)),
    *_series("emoji-objects", "emoji", _EMOJI_OBJECTS, (6, 18), (LETTERS, GARMENTS)),
    *_series("emoji-symbols", "emoji", _EMOJI_SYMBOLS, (12,), (LETTERS, GARMENTS)),
    *_series("things", "clipart", _CLIPART_THINGS, (6, 24), (LETTERS, EMOJI)),
    *_series("many-things", "clipart", _CLIPART_MANY, (10,), (LETTERS, EMOJI)),
    *_series("printed-signs", "clipart", _CLIPART_SIGNS, (15, 80), (EMOJI, GARMENTS)),
    *_series("arabic", "scripts", _ARABIC, (4, 14), (LETTERS, GENERAL)),
    *_series("georgian", "scripts", _GEORGIAN, (6,), (LETTERS, EMOJI)),
    *_series("telugu", "scripts", _TELUGU, (5,), (LETTERS, GARMENTS)),
    *_series("which-script", "scripts", _SCRIPTS, (4,), (LETTERS, GENERAL)),
    *_series("font-digits", "font-digits", _DIGITS, (4, 20), (LETTERS, GARMENTS)),
    *_series("small-digits", "small-digits", _DIGITS, (5, 15), (LETTERS, GARMENTS)),
    *_series("cutouts", "cutouts", _CUTOUTS, (6, 11), (GENERAL, EMOJI)),
    *_series("cutout-kinds", "cutouts", _CUTOUT_KINDS, (10, 25), (GENERAL, EMOJI)),
    *_series("icons", "clipart", _ICONS, (8, 24), (LETTERS, EMOJI)),
)

_WITH_IMAGENET: Final = (
    *("pets-10", "cutouts-6", "things-6", "silhouettes-5", "icons-8", "cutouts-11"),
    *("emoji-objects-6", "garments-5"),
)

SUITE: Final = {
    task.name: replace(task, sources=(*task.sources, IMAGENET))
    if task.name in _WITH_IMAGENET
    else task
    for task in _TASKS
}
"""By name."""
