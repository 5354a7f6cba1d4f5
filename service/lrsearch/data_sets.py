"""Target data sets: taken in, found and listed. How they become ready: `validation`."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.access.limits import require_room
from lrsearch.access.principals import SHARED, Principal, find_named, owner_of, visible
from lrsearch.contract.datasets import (
    DataSet,
    DataSetProblem,
    DataSetStatistics,
    FolderRegistration,
    Progress,
)
from lrsearch.contract.pages import Page
from lrsearch.db.engine import database_now
from lrsearch.db.tables import DataSetRow
from lrsearch.errors import ConflictError, FieldError, NotFoundError
from lrsearch.ids import new_id
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.folders import resolve_folder
from lrsearch.paging import newest_first
from lrsearch.settings import Settings
from lrsearch.store import Blob


def add_upload(
    session: Session, name: str, upload: Blob, principal: Principal, *, shared: bool = False
) -> DataSet:
    """A new data set from an uploaded archive, to be validated.

    Raises:
        ConflictError: the name is taken.
        ForbiddenError: only an administrator may share.
        LimitError: the principal has as many bytes as are allowed.
    """
    owner = owner_of(principal, shared=shared)
    require_room(session, principal, upload.size_bytes)
    return _add(session, name, owner, upload_sha256=upload.sha256, upload_bytes=upload.size_bytes)


def add_folder(
    session: Session,
    registration: FolderRegistration,
    settings: Settings,
    principal: Principal,
) -> DataSet:
    """A new data set from a folder below one of the image roots, to be validated.

    Raises:
        IntakeError: the path leads out of the roots, or is no folder.
        ConflictError: the name is taken.
        ForbiddenError: only an administrator may share.
        LimitError: the principal has as many bytes as are allowed.
    """
    owner, path = owner_of(principal, shared=registration.shared), registration.path
    try:
        folder = resolve_folder(path, settings.image_roots)
    except IntakeError as error:
        error.errors = [FieldError("path", error.detail, path)]
        raise
    require_room(session, principal)
    return _add(session, registration.name, owner, folder=str(folder))


def find_data_set(session: Session, reference: str, principal: Principal) -> DataSetRow:
    """The row that an id or a name means to the principal; raises `NotFoundError`."""
    row = find_named(session, DataSetRow, reference, principal)
    if row is None:
        raise NotFoundError(
            detail=f"data_set: there is no data set {reference!r}.",
            remedy="Upload it: POST /v1/datasets?name=…; or see GET /v1/datasets.",
            code="data_set_unknown",
        )
    return row


def require_ready_data_set(row: DataSetRow) -> DataSetRow:
    """The row, if jobs may use it; raises `ConflictError`."""
    if row.state == "ready":
        return row
    raise ConflictError(
        detail=f"Data set {row.name!r} is {row.state}{f': {row.reason}' if row.reason else ''}.",
        remedy=f"Wait until it is ready: GET /v1/datasets/{row.id}."
        if row.state == "validating"
        else "Mend the images and upload them under another name.",
        code=f"data_set_{row.state}",
    )


def require_hopeful_data_set(session: Session, row: DataSetRow) -> DataSetRow:
    """The row, if it is ready, or may become so; raises `ConflictError` where it was rejected.

    One that is validated stays so until the transaction ends: who validates it will find what is
    made in this one.
    """
    if row.state == "validating":
        session.refresh(row, with_for_update={"read": True})
    return row if row.state == "validating" else require_ready_data_set(row)


def require_free_name(session: Session, name: str, owner: str) -> None:
    """Raise `ConflictError` where a data set of the owner, or a shared one, has the name."""
    taken = select(DataSetRow.id).where(
        DataSetRow.name == name, DataSetRow.owner.in_((owner, SHARED))
    )
    if session.scalar(taken.limit(1)):
        raise ConflictError(
            detail=f"name: there is a data set {name!r} already.",
            remedy="Choose another name, or use that one.",
            code="name_taken",
        )


def fingerprint_of(row: DataSetRow) -> str:
    """The content fingerprint of a ready data set."""
    assert row.fingerprint is not None
    return row.fingerprint


def list_data_sets(
    session: Session, principal: Principal, cursor: str | None, limit: int
) -> Page[DataSet]:
    """Data sets that the principal may see, the newest first."""
    query = select(DataSetRow).where(visible(DataSetRow.owner, principal))
    rows, next_cursor = newest_first(session, query, DataSetRow.id, cursor, limit)
    return Page(items=[data_set_as_contract(row) for row in rows], next_cursor=next_cursor)


def data_set_as_contract(row: DataSetRow) -> DataSet:
    """The row as it is shown."""
    return DataSet(
        id=row.id,
        name=row.name,
        state=row.state,
        reason=row.reason,
        problems=[DataSetProblem.model_validate(problem) for problem in row.problems],
        progress=Progress(done=row.progress_done, total=row.progress_total),
        fingerprint=row.fingerprint,
        statistics=DataSetStatistics.model_validate(row.statistics) if row.statistics else None,
        content_bytes=row.content_bytes,
        created_at=row.created_at,
    )


def _add(
    session: Session,
    name: str,
    owner: str,
    upload_sha256: str | None = None,
    upload_bytes: int | None = None,
    folder: str | None = None,
) -> DataSet:
    require_free_name(session, name, owner)
    row = DataSetRow(
        id=new_id(),
        name=name,
        owner=owner,
        state="validating",
        problems=[],
        upload_sha256=upload_sha256,
        upload_bytes=upload_bytes,
        folder=folder,
        progress_done=0,
        created_at=database_now(session),
    )
    session.add(row)
    return data_set_as_contract(row)
