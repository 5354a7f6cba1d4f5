"""The journal: what a worker was told, written by itself, to hold against the database later."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

What = Literal["accepted", "refused", "lost", "resumed", "damaged"]
"""`accepted`: a report counted; `refused`: it never will; `lost`: a message came too late;
`resumed`: a trial went on from a checkpoint; `damaged`: content was not what had been stored."""


class Journal:
    """Lines in one file, of all workers; each line is one write, so none is cut by another."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: What, **facts: str | int) -> None:
        """Write a line."""
        os.write(self._file, (json.dumps({"what": what, **facts}) + "\n").encode())


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """All lines."""
    with path.open() as file:
        yield from map(json.loads, file)
