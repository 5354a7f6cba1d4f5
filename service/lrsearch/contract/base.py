"""What every type of the contract shares: strictness, and the few scalar types with a meaning."""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, ClassVar, Final, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

Accuracy = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
"""Share of images whose top-1 label is right, in [0, 1]."""

MAX_RATE = 1e3
"""Largest learning rate; nothing that trains comes near."""

Rate = Annotated[float, Field(ge=0.0, le=MAX_RATE, allow_inf_nan=False)]
"""A learning rate; 0 means frozen."""

PositiveRate = Annotated[float, Field(gt=0.0, le=MAX_RATE, allow_inf_nan=False)]
"""A learning rate that trains."""

Seconds = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]
"""A duration that may add up with others."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""What a user calls a thing: letters, digits, `.`, `_`, `-`; at most 100 characters."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of some content, in lower-case hexadecimal."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9a-f-]{36}$")]
"""A UUID version 7 (RFC 9562): sorts by time of creation."""


class Contract(BaseModel):
    """Base of every type that crosses the network: unknown fields are errors, values constant.

    A number is a number and a flag a flag: `"5"` is not taken for 5, nor `true` for 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    in_query: ClassVar[bool] = False
    """Whether it comes in the query of a URL, where everything is text."""

    @model_validator(mode="before")
    @classmethod
    def _of_their_kinds(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not cls.in_query:
            wrong = [
                InitErrorDetails(type=_ERRORS[kind], loc=(name, *place), input=value)
                for name, kind in _numbers_and_flags(cls).items()
                if type(values.get(name)) not in _OF_COURSE[kind]
                for place, value in _first_wrong(kind, values.get(name))
            ]
            if wrong:
                raise ValidationError.from_exception_data(cls.__name__, wrong)
        return values


_ERRORS: Final = {bool: "bool_type", int: "int_type", float: "float_type"}

_OF_COURSE: Final[dict[type, set[type]]] = {
    bool: {bool, type(None)},
    int: {int, float, type(None)},
    float: {int, float, type(None)},
}
"""Types that need no second look."""


@cache
def _numbers_and_flags(model: type[Contract]) -> dict[str, type]:
    """The fields whose values, or those in their lists, are numbers alone, or flags alone."""
    kinds: dict[str, type] = {}
    for name, field in model.model_fields.items():
        scalars = {*_leaves(field.annotation)} & {bool, int, float, str}
        if scalars == {bool}:
            kinds[name] = bool
        elif scalars and scalars <= {int, float}:
            kinds[name] = float if float in scalars else int
    return kinds


def _leaves(annotation: Any) -> Iterator[type]:
    parts = get_args(annotation)
    for part in parts:
        yield from _leaves(part)
    if not parts:
        yield annotation if isinstance(annotation, type) else type(annotation)


def _first_wrong(kind: type, value: Any) -> Iterator[tuple[tuple[int, ...], Any]]:
    """At most one: a list may be longer than the field allows, and an error for each costs much."""
    if isinstance(value, list):
        wrong = (((n,), each) for n, each in enumerate(value) if not _may_be(kind, each))
        yield from islice(wrong, 1)
    elif not _may_be(kind, value):
        yield (), value


def _may_be(kind: type, value: Any) -> bool:
    """Whether nothing is known against it; whatever is no scalar, the field judges by itself."""
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int | float):
        return kind is not bool
    return not isinstance(value, str)
