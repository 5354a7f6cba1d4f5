"""Damage to bytes, whatever they mean."""

import random
from collections.abc import Callable

Damage = Callable[[bytearray, random.Random], None]

EDGES = (0, 1, 0x7F, 0x80, 0xFF)
"""Bytes that parsers stumble over."""


def flip(content: bytearray, chance: random.Random) -> None:
    """Change some bytes anywhere."""
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        content[chance.randrange(len(content))] ^= chance.randint(1, 255)


def flip_near_the_beginning(content: bytearray, chance: random.Random) -> None:
    """Where most formats have their header."""
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(min(512, len(content)))] = chance.choice(EDGES)


def flip_near_the_end(content: bytearray, chance: random.Random) -> None:
    """Where a zip has its directory."""
    for _ in range(chance.randint(1, 4)):
        content[-chance.randint(1, min(1500, len(content)))] = chance.randint(0, 255)


def overwrite_a_number(content: bytearray, chance: random.Random) -> None:
    """Put the edge of a whole number's range where one may stand."""
    size = chance.choice((1, 2, 4, 8))
    edge = chance.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), 2 ** (8 * size - 1) - 1))
    start = chance.randrange(len(content))
    content[start : start + size] = edge.to_bytes(size, chance.choice(("big", "little")))


def cut(content: bytearray, chance: random.Random) -> None:
    """End it early."""
    del content[chance.randrange(len(content)) :]


def take_out(content: bytearray, chance: random.Random) -> None:
    """Lose a piece."""
    start = chance.randrange(len(content))
    del content[start : start + chance.randint(1, 600)]


def repeat(content: bytearray, chance: random.Random) -> None:
    """Have a piece twice or many times."""
    start = chance.randrange(len(content))
    piece = bytes(content[start : start + chance.randint(1, 600)])
    content[start:start] = piece * chance.choice((1, 1, 1, 50))


def swap(content: bytearray, chance: random.Random) -> None:
    """Exchange two pieces."""
    size = chance.randint(1, max(1, min(400, len(content) // 2)))
    one, other = (chance.randrange(max(1, len(content) - size)) for _ in range(2))
    a, b = bytes(content[one : one + size]), bytes(content[other : other + size])
    content[one : one + size] = b
    content[other : other + size] = a


def add_noise(content: bytearray, chance: random.Random) -> None:
    """Begin or end with something else."""
    noise = chance.randbytes(chance.choice((1, 22, 512, 5000)))
    if chance.random() < 0.5:
        content += noise
    else:
        content[:0] = noise


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip_near_the_beginning,
    flip_near_the_end,
    overwrite_a_number,
    cut,
    take_out,
    repeat,
    swap,
    add_noise,
)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """The content with one kind of damage, or with a few."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if changed:
            chance.choice(DAMAGES)(changed, chance)
    return bytes(changed)
