"""The gate: what every member of an upload passes, whether it stands in an archive or a folder."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from lrsearch.intake.errors import IntakeError
from lrsearch.intake.limits import MIB, IntakeLimits

Kind = Literal["archive", "folder"]
"""What holds the members; error codes begin with it."""

_IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}
_DRIVE = re.compile(r"[A-Za-z]:")
_SEPARATORS_AND_CONTROLS = {"Cc", "Zl", "Zp"}


class Gate:
    """Admits members by their path, number and size."""

    def __init__(self, kind: Kind, limits: IntakeLimits) -> None:
        self.kind = kind
        self._limits = limits
        self._members = 0
        self._bytes = 0
        self._files: set[str] = set()

    def admit(self, raw: str, *, is_folder: bool = False) -> str | None:
        """The clean path of a member; None where it is to be ignored.

        Clean means: relative, without `.`, `..`, empty or drive-letter parts, backslashes and
        control characters, in Unicode's normal form C (macOS decomposes names), and of one file
        only. Hidden files, those in hidden folders and what macOS and Windows leave behind are
        ignored, after the same checks.

        Args:
            raw: The path as the archive or the folder has it.
            is_folder: Whether the member is a folder; those may come repeatedly.

        Raises:
            IntakeError: `…_unsafe_path`, `…_path_too_long`, `…_duplicate_path` or
                `…_too_many_files`.
        """
        self._members += 1
        if self._members > self._limits.max_files:
            raise self.error(
                "too_many_files",
                f"The {self.kind} holds more than {self._limits.max_files} files and folders.",
            )
        parts = self._parts(raw)
        path = "/".join(parts)
        if not parts:
            if not is_folder:
                raise self._unsafe(raw, "names no file")
            return None
        if any(part.startswith(".") or part.lower() in _IGNORED for part in parts):
            return None
        if not is_folder:
            if path in self._files:
                raise self.error(
                    "duplicate_path", f"The {self.kind} holds two files at {path!r}.", path
                )
            self._files.add(path)
        return path

    def weigh(self, size_bytes: int) -> None:
        """Count bytes that were read.

        Raises:
            IntakeError: `…_too_large`.
        """
        self._bytes += size_bytes
        if self._bytes > self._limits.max_unpacked_bytes:
            raise self.error(
                "too_large",
                f"The {self.kind} holds more than {self._limits.max_unpacked_bytes / MIB:.0f} MiB "
                "of files: send fewer or smaller images.",
            )

    def error(self, what: str, message: str, *paths: str) -> IntakeError:
        """An error whose code begins with the kind."""
        return IntakeError(f"{self.kind}_{what}", message, paths)

    def _parts(self, raw: str) -> list[str]:
        if len(raw) > self._limits.max_path_characters:
            raise self.error(
                "path_too_long",
                f"The path {raw[:60]!r}… has {len(raw)} characters; "
                f"{self._limits.max_path_characters} are the limit.",
                raw[: self._limits.max_path_characters],
            )
        if not _is_text(raw):
            raise self._unsafe(raw, "is not valid Unicode: pack it with names in UTF-8")
        path = unicodedata.normalize("NFC", raw)
        if any(unicodedata.category(character) in _SEPARATORS_AND_CONTROLS for character in path):
            raise self._unsafe(raw, "contains control characters")
        if "\\" in path:
            raise self._unsafe(raw, "contains a backslash; folders are separated by '/'")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or any(_DRIVE.match(part) for part in parts):
            raise self._unsafe(raw, "is absolute; paths must be relative")
        if ".." in parts:
            raise self._unsafe(raw, "leads upwards with '..'")
        return parts

    def _unsafe(self, raw: str, why: str) -> IntakeError:
        return self.error("unsafe_path", f"The path {raw!r} {why}.", raw)


@contextmanager
def parsing(gate: Gate, what: str, *paths: str) -> Iterator[None]:
    """Turns whatever a parser raises on broken input into an `IntakeError` that speaks of `what`.

    Raises:
        IntakeError: `…_truncated` where data end too early, else `…_corrupt`.
    """
    try:
        yield
    except (IntakeError, MemoryError):
        raise
    except EOFError as error:
        raise gate.error(
            "truncated", f"{what} ends too early: was it sent whole?", *paths
        ) from error
    except Exception as error:  # the parsers raise nearly anything on broken input
        raise gate.error("corrupt", f"{what} is damaged: {error}.", *paths) from error


def _is_text(raw: str) -> bool:
    try:
        raw.encode()
    except UnicodeEncodeError:  # bytes that were no UTF-8 stand in it as lone surrogates
        return False
    return True
