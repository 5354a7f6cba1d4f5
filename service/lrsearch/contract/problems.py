"""Problems: how errors look on the network (RFC 9457)."""

from typing import Any

from pydantic import Field

from lrsearch.contract.base import Contract


class FieldProblem(Contract):
    """What is wrong with one field."""

    field: str = Field(description="Path of the field, with dots: `recipe.epochs`.")
    message: str = Field(description="What is wrong and what would be right.")
    value: Any = Field(default=None, description="What was sent, where it is short.")


class Problem(Contract):
    """Problem details, sent as `application/problem+json`."""

    type: str = Field(description="`urn:lrsearch:problem:` and the code.")
    title: str = Field(description="What kind of problem it is.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What happened this time.")
    code: str = Field(description="For programs: stable, in snake case.")
    remedy: str | None = Field(default=None, description="What to do about it.")
    errors: list[FieldProblem] = Field(default_factory=list, description="Field by field.")
    paths: list[str] = Field(default_factory=list, description="Files that are to blame, if any.")
