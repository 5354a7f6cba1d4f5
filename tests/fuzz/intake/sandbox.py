"""Watches what this process does outside of one folder."""

import os
import sys
from pathlib import Path
from typing import Any, Final

CHANGES: Final = frozenset(
    {
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
        *("os.truncate", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.mkfifo"),
    }
)
"""Events of Python's that change what their first arguments name."""

PLACES: Final = {
    "os.rename": slice(0, 2),
    "os.link": slice(0, 2),
    "os.symlink": slice(1, 2),  # what it leads to is a text
}
"""Which of an event's arguments are places; of the others, the first."""

NEVER: Final = frozenset(
    {
        *("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.startfile"),
        *("socket.connect", "socket.bind", "socket.getaddrinfo", "ctypes.dlopen"),
    }
)
"""Events that no input may lead to."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Sandbox:
    """From its making on, all that leaves `folder` is noted in `escapes`.

    Python's own files, and those of its packages, may be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._readable = tuple(
            Path(path).resolve() for path in (sys.prefix, sys.base_prefix, *sys.path) if path
        )
        self.escapes: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in NEVER:
            self.escapes.append(f"{event} {arguments!r}"[:500])
        elif event == "open":
            path, _, flags = arguments
            self._require_inside(path, reading=not (flags or 0) & _WRITING, event=event)
        elif event in CHANGES:
            for path in arguments[PLACES.get(event, slice(0, 1))]:
                self._require_inside(path, reading=False, event=event)

    def _require_inside(self, path: Any, *, reading: bool, event: str) -> None:
        if isinstance(path, int):
            return  # a file that is open already
        place = Path(os.fsdecode(path)).resolve()
        allowed = (self._folder, *self._readable) if reading else (self._folder,)
        if not any(place.is_relative_to(folder) for folder in allowed):
            self.escapes.append(f"{event} {place}"[:500])
