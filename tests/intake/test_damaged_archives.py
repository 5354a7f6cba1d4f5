"""Damaged archives: 210 of them, each refused or read in full, and nothing else happens."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lrsearch.intake.errors import IntakeError
from tests.fuzz.intake.damage import cut, repeat, take_out
from tests.intake.uploads import COMPRESS, animals, build, tar_of, zip_of

ROUNDS = 42
FILES = animals(labels=4, images_per_label=5)

Damage = Callable[[bytearray, random.Random], None]


def flip(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] ^= chance.randint(1, 255)


def flip_near_the_end(content: bytearray, chance: random.Random) -> None:
    """Where a zip has its directory."""
    content[-chance.randint(1, min(1500, len(content)))] = chance.randint(0, 255)


DAMAGES: list[Damage] = [flip, flip_near_the_end, cut, take_out, repeat]


@pytest.mark.parametrize("kind", ["zip", *COMPRESS])
def test_a_damaged_archive_is_refused_or_read_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    chance = random.Random(kind)  # noqa: S311  # a seed, no secret
    upload, place = tmp_path / "upload", tmp_path / "place"
    place.mkdir()
    sound = (zip_of(FILES, upload) if kind == "zip" else tar_of(FILES, upload, kind)).read_bytes()
    refused = 0
    for i in range(ROUNDS):
        content = bytearray(sound)
        DAMAGES[i % len(DAMAGES)](content, chance)
        upload.write_bytes(content)
        try:
            data_set = build(upload, place / "set.zip")
        except IntakeError:
            refused += 1
            assert list(place.iterdir()) == []
        else:
            assert data_set.statistics.images <= len(FILES)
            data_set.path.unlink()
        assert sorted(tmp_path.iterdir()) == [place, upload]
        assert upload.read_bytes() == content
    assert refused >= ROUNDS // 3
