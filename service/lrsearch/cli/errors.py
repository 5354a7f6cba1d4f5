"""Errors as sentences: no command ends in a traceback for what a user can put right."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from pydantic import ValidationError
from rich.text import Text
from typer.core import TyperGroup

from lrsearch.cli.console import err
from lrsearch.client import ClientError
from lrsearch.errors import LRSearchError

FAILED = 1
"""Exit code where something could not be done."""

MISUSED = 2
"""Exit code where a command was given what it cannot take."""


class UsageError(Exception):
    """What the user asked for cannot be asked for; the text says what can."""


class Commands(TyperGroup):
    """Commands whose expected errors are printed, and set the exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            raise _exit(str(error), MISUSED) from error
        except ValidationError as error:
            raise _exit(in_words(error), MISUSED) from error
        except (ClientError, LRSearchError, OSError) as error:
            raise _exit(str(error), FAILED) from error


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Says which part of lrsearch must be installed, where an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"This command needs more than the base install ({error.name} is missing): "
            f"install lrsearch[{name}]."
        ) from error


def in_words(error: ValidationError) -> str:
    """A validation error, field by field."""
    lines = []
    for part in error.errors(include_url=False, include_context=False):
        field = ".".join(str(key) for key in part["loc"])
        message = part["msg"].removeprefix("Value error, ")
        lines.append(f"{field}: {message}" if field else message)
    return "\n".join(lines)


def _exit(message: str, code: int) -> typer.Exit:
    err.print(Text("Error: ", style="bold red").append(message, style="not bold default"))
    return typer.Exit(code)
