"""Principals: who makes a request, and which rows they may see."""

from dataclasses import dataclass, replace
from typing import Final, TypeVar, get_args

from sqlalchemy import ColumnElement, or_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from lrsearch.contract.keys import Limits, Scope
from lrsearch.db.tables import DataSetRow, SourceModelRow
from lrsearch.errors import ForbiddenError

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

SHARED: Final = ""
"""Owner of what is everybody's: what is shipped, what an administrator shares, and what was made
where no keys are demanded."""

UNLIMITED: Final = Limits()

Named = TypeVar("Named", DataSetRow, SourceModelRow)


@dataclass(frozen=True)
class Principal:
    """Who makes a request, and what they may do."""

    key_id: str | None
    owner: str
    """All keys of an owner see the same."""
    scopes: frozenset[str]
    limits: Limits = UNLIMITED
    """Null: without limit."""
    sees_everything: bool = False
    """Whether what others own is shown, too."""

    def may(self, scope: Scope) -> bool:
        """Whether the scope is granted; `admin` may do everything."""
        return scope in self.scopes or "admin" in self.scopes

    def at_work(self) -> "Principal":
        """The same, for what workers fetch: they run everybody's jobs."""
        return replace(self, sees_everything=self.sees_everything or self.may("worker"))


NOBODY: Final = Principal(key_id=None, owner=SHARED, scopes=frozenset(SCOPES), sees_everything=True)
"""Where no keys are demanded: on loopback, anybody on the machine."""


def owner_of(principal: Principal, *, shared: bool) -> str:
    """Who will own what the principal makes; raises `ForbiddenError` where they may not share."""
    if not shared:
        return principal.owner
    if not principal.may("admin"):
        raise ForbiddenError(
            detail="shared: only a key with scope 'admin' can share with everybody.",
            remedy="Leave shared out, or ask an administrator.",
        )
    return SHARED


def owned(owner: InstrumentedAttribute[str], principal: Principal) -> ColumnElement[bool]:
    """Picks what is the principal's own, or everything for those who see everything."""
    return true() if principal.sees_everything else owner == principal.owner


def visible(owner: InstrumentedAttribute[str], principal: Principal) -> ColumnElement[bool]:
    """Like `owned`, and what is shared."""
    return or_(owned(owner, principal), owner == SHARED)


def find_named(
    session: Session, table: type[Named], reference: str, principal: Principal
) -> Named | None:
    """The row that an id or a name means to the principal.

    Names are an owner's own matter. The principal's own thing comes first, then the shared one,
    then (for those who see everything) the newest of all others.
    """
    return session.scalar(
        select(table)
        .where(or_(table.id == reference, table.name == reference), visible(table.owner, principal))
        .order_by(
            table.id != reference,
            table.owner != principal.owner,
            table.owner != SHARED,
            table.id.desc(),
        )
        .limit(1)
    )
