"""Letters of many scripts, none of them Latin, Greek or Cyrillic, rendered from free fonts."""

import re
import unicodedata
from collections.abc import Iterator

from tests.benchmarks.images.domain import Domain, Picture
from tests.benchmarks.images.faces import LICENCE, draw, find_faces
from tests.benchmarks.images.packages import Packages

RANGES = {
    "Arabic": ("ء", "ي"),
    "Armenian": ("Ա", "ֆ"),
    "Bengali": ("\u0985", "\u09b9"),
    "Cherokee": ("Ꭰ", "Ᏼ"),
    "Devanagari": ("\u0905", "\u0939"),
    "Georgian": ("ა", "ჰ"),
    "Gujarati": ("\u0a85", "\u0ab9"),
    "Gurmukhi": ("\u0a05", "\u0a39"),
    "Hebrew": ("א", "ת"),
    "Khmer": ("\u1780", "\u17a2"),
    "Lao": ("\u0e81", "\u0eae"),
    "Malayalam": ("\u0d05", "\u0d39"),
    "Tamil": ("\u0b85", "\u0bb9"),
    "Telugu": ("\u0c05", "\u0c39"),
    "Thai": ("\u0e01", "\u0e2e"),
    "Tifinagh": ("\u2d30", "\u2d65"),
}
"""Script → the first and the last of its letters; each has at least ten faces."""
_RARE = re.compile(r" PALI | SANSKRIT | TURNED | WITH ")
"""In the names of letters of languages that few fonts serve."""

_PACKAGES = (
    "culmus",
    "fonts-aksharyogini2",
    "fonts-arabeyes",
    "fonts-arundina",
    "fonts-beng-extra",
    "fonts-bpg-georgian",
    "fonts-dejavu-core",
    "fonts-dejavu-extra",
    "fonts-deva-extra",
    "fonts-farsiweb",
    "fonts-freefont-ttf",
    "fonts-gargi",
    "fonts-gujr-extra",
    "fonts-guru-extra",
    "fonts-hosny-amiri",
    "fonts-hosny-thabit",
    "fonts-kacst",
    "fonts-kacst-one",
    "fonts-kalapi",
    "fonts-khmeros",
    "fonts-lao",
    "fonts-lohit-beng-bengali",
    "fonts-lohit-deva",
    "fonts-lohit-gujr",
    "fonts-lohit-guru",
    "fonts-lohit-mlym",
    "fonts-lohit-taml",
    "fonts-lohit-taml-classical",
    "fonts-lohit-telu",
    "fonts-meera-inimai",
    "fonts-nakula",
    "fonts-noto-core",
    "fonts-sahadeva",
    "fonts-samyak-deva",
    "fonts-samyak-gujr",
    "fonts-samyak-mlym",
    "fonts-samyak-taml",
    "fonts-sarai",
    "fonts-sil-annapurna",
    "fonts-sil-ezra",
    "fonts-sil-harmattan",
    "fonts-sil-lateef",
    "fonts-sil-scheherazade",
    "fonts-smc-anjalioldlipi",
    "fonts-smc-chilanka",
    "fonts-smc-dyuthi",
    "fonts-smc-gayathri",
    "fonts-smc-karumbi",
    "fonts-smc-keraleeyam",
    "fonts-smc-manjari",
    "fonts-smc-meera",
    "fonts-smc-rachana",
    "fonts-smc-raghumalayalamsans",
    "fonts-smc-suruma",
    "fonts-smc-uroob",
    "fonts-telu-extra",
    "fonts-teluguvijayam",
    "fonts-tlwg-garuda-ttf",
    "fonts-tlwg-kinnari-ttf",
    "fonts-tlwg-laksaman-ttf",
    "fonts-tlwg-loma-ttf",
    "fonts-tlwg-mono-ttf",
    "fonts-tlwg-norasi-ttf",
    "fonts-tlwg-purisa-ttf",
    "fonts-tlwg-sawasdee-ttf",
    "fonts-tlwg-typewriter-ttf",
    "fonts-tlwg-typist-ttf",
    "fonts-tlwg-typo-ttf",
    "fonts-tlwg-umpush-ttf",
    "fonts-tlwg-waree-ttf",
    "fonts-yrsa-rasa",
)


def _pictures(packages: Packages) -> Iterator[Picture]:
    scripts = [letters(first, last) for first, last in RANGES.values()]
    for file in find_faces(packages, _PACKAGES):
        for script in scripts:
            yield from draw(file, script, sized_by=script)


def letters(first: str, last: str) -> str:
    """The letters from `first` to `last`, less rare ones and those made of a letter and a mark."""
    characters = map(chr, range(ord(first), ord(last) + 1))
    return "".join(
        character
        for character in characters
        if unicodedata.category(character) in ("Lo", "Lu", "Ll")
        and not unicodedata.decomposition(character)
        and not _RARE.search(unicodedata.name(character))
    )


SCRIPTS = Domain(
    name="scripts",
    summary=(
        "Letters of 16 scripts, among them Arabic, Hebrew, Thai and those of India; the label is "
        "the letter, its first word the script."
    ),
    packages=tuple(f"Debian {package}" for package in _PACKAGES),
    licence=LICENCE,
    credit=(
        "the fonts' authors, as named in each Debian package: among them Google (Noto), the "
        "DejaVu, GNU FreeFont, Culmus, Arabeyes, Lohit, Samyak and Khmer OS projects, KACST, "
        "Swathanthra Malayalam Computing, the Thai Linux Working Group, BPG InfoTech and "
        "SIL International"
    ),
    pictures=_pictures,
)
