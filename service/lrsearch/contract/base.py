"""What every type of the contract shares: strictness, and the few scalar types with a meaning."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

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
    """Base of every type that crosses the network: unknown fields are errors, values constant."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
