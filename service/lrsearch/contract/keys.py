"""API keys: who speaks to the service, what they may do, and how much of it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from lrsearch.contract.base import Contract, Identifier, Name

Scope = Literal[
    "read",  # see the owner's jobs, data sets and source models, and what is shared
    "submit",  # make and change them
    "worker",  # claim leases, and fetch what they need
    "admin",  # everything, with everybody's, and keys
]


class Limits(Contract):
    """How much is allowed. Of a key, null is the service's default and 0 without limit."""

    running_jobs: int | None = Field(
        default=None, ge=0, le=10**9, description="Unfinished jobs of the key's owner."
    )
    stored_bytes: int | None = Field(
        default=None,
        ge=0,
        le=2**53,
        description="Bytes of the data sets and source models of the key's owner, and of the "
        "weights that their jobs have stored.",
    )
    requests_per_second: float | None = Field(
        default=None,
        ge=0.0,
        le=1e6,
        description="Requests with this key that each replica answers, on the average.",
    )


class KeyRequest(Contract):
    """Asks for a key."""

    name: Name = Field(description="What it is for; keys may share one.")
    owner: Name | None = Field(
        default=None,
        description="Whose jobs, data sets and source models it sees and makes; all keys of an "
        "owner see the same. Null: the key's name.",
    )
    scopes: list[Scope] = Field(
        default=["read", "submit"], min_length=1, description="What it may be used for."
    )
    expires_in_seconds: Annotated[float, Field(gt=0.0, le=1e9)] | None = Field(
        default=None, description="How long it is good for; null: until it is revoked."
    )
    limits: Limits = Field(default_factory=Limits, description="Of its own.")


class KeyChange(Contract):
    """Asks for a key to be changed."""

    limits: Limits = Field(
        description="Those that are given, from the next request on; the others stay."
    )


class Key(Contract):
    """An API key, without its secret."""

    id: Identifier
    name: str
    owner: str
    prefix: str | None = Field(
        description="How its secret begins, to know it by; null where it is from before these "
        "were kept."
    )
    scopes: list[Scope]
    limits: Limits
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute; null: never.")


class NewKey(Contract):
    """A key that was just made."""

    key: Key
    secret: str = Field(description="To be sent with requests; shown this once and not kept.")
