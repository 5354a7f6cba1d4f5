"""Pages of lists: newest first, continued behind the last id that was seen."""

from typing import TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")


def newest_first(
    session: Session,
    query: Select[Row],
    id_column: InstrumentedAttribute[str],
    cursor: str | None,
    limit: int,
) -> tuple[list[Row], str | None]:
    """A page's rows, and the cursor of the next page (None at the end).

    Ids sort by time of creation, so a page does not shift when new rows come in.
    """
    if cursor is not None:
        query = query.where(id_column < cursor)
    rows = list(session.scalars(query.order_by(id_column.desc()).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    last_id: str = getattr(rows[-1], id_column.key)
    return rows, last_id
