"""Pages of lists."""

from typing import Generic, TypeVar

from pydantic import Field

from lrsearch.contract.base import Contract

Item = TypeVar("Item")


class Page(Contract, Generic[Item]):
    """Part of a list, newest first."""

    items: list[Item]
    next_cursor: str | None = Field(description="Pass as `cursor` for what follows; null: the end.")
