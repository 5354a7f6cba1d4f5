"""Members: what stands in an upload, one after the other, whatever it came in."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A file with its whole content."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file whose content was not read, and why."""

    path: str
    reason: str


Member = Folder | File | UnreadFile
"""Paths have passed a `Gate`: relative, `/` between their parts, nothing above or beside them."""


@dataclass
class Members(Iterator[Member]):
    """The members of one upload, to be gone through once, within a `with`."""

    stream: Iterator[Member]
    total_files: int | None = None
    """Files to come; None where only the end will tell."""

    open_files: ExitStack = field(default_factory=ExitStack)
    """What the stream reads from; closed at the end of the `with`."""

    def __next__(self) -> Member:
        return next(self.stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.open_files.close()
