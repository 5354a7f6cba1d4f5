import pytest

from tests.benchmarks.images.faces import family, label
from tests.benchmarks.images.scripts import RANGES, letters


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("R", "latin-capital-r"),
        ("ς", "greek-small-final-sigma"),
        ("ա", "armenian-small-ayb"),
        ("ก", "thai-ko-kai"),
        ("ა", "georgian-an"),
        ("7", "7"),
    ],
)
def test_a_glyph_is_labelled_with_its_unicode_name(character: str, expected: str) -> None:
    assert label(character) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DejaVu Sans Condensed", "dejavu"),
        ("Noto Serif Thai", "noto"),
        ("BPG Glaho GPL&GNU", "glaho"),
        ("BPG DejaVu Sans 2011 GNU-GPL", "dejavu"),
        ("Khmer OS Muol Light", "muol"),
        ("Khmer OS", "khmer"),
    ],
)
def test_a_family_is_known_by_the_first_word_that_names_no_foundry(
    name: str, expected: str
) -> None:
    assert family(name) == expected


def test_letters_made_of_a_letter_and_a_mark_are_left_out() -> None:
    arabic = letters(*RANGES["Arabic"])
    assert "ب" in arabic
    assert "آ" not in arabic  # alef with madda above
    assert "ـ" not in arabic  # a stroke that stretches words


@pytest.mark.parametrize("script", RANGES)
def test_the_first_word_of_a_letters_label_is_its_script(script: str) -> None:
    characters = letters(*RANGES[script])
    assert len(characters) >= 20
    assert {label(character).split("-")[0] for character in characters} == {script.lower()}


def test_no_letter_has_two_labels_and_no_label_two_letters() -> None:
    characters = "".join(letters(first, last) for first, last in RANGES.values())
    assert len(set(characters)) == len(characters)
    assert len({label(character) for character in characters}) == len(characters)
