"""Errors that the caller of a command can put right: a sentence each, no traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from lrsearch_worker.errors import ServiceAwayError, ServiceRefusedError


@contextmanager
def told_plainly() -> Iterator[None]:
    """End the program with status 1 and a sentence where the input or the service is to blame."""
    try:
        yield
    except (ValueError, OSError, ServiceAwayError, ServiceRefusedError) as error:
        console = Console(stderr=True)
        for sentence in _sentences(error):
            console.print(f"[red]Error:[/] {escape(sentence)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _sentences(error: Exception) -> list[str]:
    if not isinstance(error, ValidationError):
        return [str(error)]
    return [
        f"{'.'.join(map(str, it['loc']))}: {it['msg'].removeprefix('Value error, ')}"
        + (f"; it is {it['input']!r}" if isinstance(it["input"], str | int | float) else "")
        for it in error.errors()
    ]
