"""Where the commands write: people's text and tables, or the contract's JSON."""

import sys
from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter
from rich.console import Console

_PIPE_COLUMNS = 200
"""Width of tables that no terminal limits."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # No markup: names, reasons and labels are users' text.
    return Console(
        stderr=stderr,
        markup=False,
        highlight=False,
        emoji=False,
        width=None if stream.isatty() else _PIPE_COLUMNS,
    )


out = _console(stderr=False)
err = _console(stderr=True)


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Writes one thing as a JSON object, several as an array."""
    if isinstance(value, BaseModel):
        text = value.model_dump_json(indent=2)
    else:
        text = (
            TypeAdapter(list[BaseModel])
            .dump_json(list(value), indent=2, serialize_as_any=True)
            .decode()
        )
    out.print(text, soft_wrap=True)
