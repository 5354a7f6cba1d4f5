"""Target data sets: taken in, validated in the background, found and listed."""

from datetime import timedelta
from time import monotonic

import structlog
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from lrsearch.contract.datasets import (
    DataSet,
    DataSetProblem,
    DataSetStatistics,
    FolderRegistration,
    Progress,
)
from lrsearch.contract.pages import Page
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import DataSetRow
from lrsearch.errors import ConflictError, FieldError, NotFoundError
from lrsearch.ids import new_id
from lrsearch.intake.archives import archive_members
from lrsearch.intake.errors import IntakeError
from lrsearch.intake.folders import folder_members, resolve_folder
from lrsearch.intake.limits import IntakeLimits
from lrsearch.intake.members import Members
from lrsearch.intake.validate import build_data_set
from lrsearch.limits import require_room
from lrsearch.paging import newest_first
from lrsearch.principals import SHARED, Principal, find_named, owner_of, visible
from lrsearch.settings import Settings
from lrsearch.store import Blob, BlobStore

log = structlog.get_logger(__name__)

VALIDATOR_SECONDS = 60.0
"""A replica that validates shows so at least this often; else another one starts afresh."""

PROGRESS_SECONDS = 1.0
"""How often the progress of a validation is written down."""


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


def validate_next(database: Database, store: BlobStore, settings: Settings) -> bool:
    """Validate one data set that waits for it; returns whether there was one.

    A replica that dies while it validates is succeeded by another after `VALIDATOR_SECONDS`.
    """
    with database.write() as session:
        now = database_now(session)
        row = session.scalar(
            select(DataSetRow)
            .where(
                DataSetRow.state == "validating",
                or_(DataSetRow.validator_until.is_(None), DataSetRow.validator_until < now),
            )
            .order_by(DataSetRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is None:
            return False
        row.validator_until = now + timedelta(seconds=VALIDATOR_SECONDS)
        data_set_id, upload, folder = row.id, row.upload_sha256, row.folder
    limits = IntakeLimits(max_archive_bytes=settings.max_upload_bytes)
    try:
        members = (
            archive_members(store.path(upload), limits)
            if upload is not None
            else _folder_members(folder, settings, limits)
        )
        _build(database, store, data_set_id, members, limits)
    except IntakeError as error:
        _reject(database, data_set_id, error)
    except OSError as error:  # a full disk is not the images' fault: tried again later
        log.warning("validation was interrupted", data_set=data_set_id, error=str(error))
    except Exception as error:
        log.exception("validation failed", data_set=data_set_id)
        reason = f"it could not be validated: {type(error).__name__}: {error}"
        _reject(database, data_set_id, IntakeError("validation_failed", reason))
    return True


def _folder_members(folder: str | None, settings: Settings, limits: IntakeLimits) -> Members:
    assert folder is not None
    return folder_members(folder, settings.image_roots, limits)


def _build(
    database: Database,
    store: BlobStore,
    data_set_id: str,
    members: Members,
    limits: IntakeLimits,
) -> None:
    destination = store.incoming / f"{data_set_id}.zip"
    try:
        reporter = _Reporter(database, data_set_id)
        built = build_data_set(members, destination, limits, reporter)
        content = store.add(built.path)
    finally:
        destination.unlink(missing_ok=True)
    with database.write() as session:
        row = session.get_one(DataSetRow, data_set_id)
        row.state = "ready"
        row.fingerprint, row.content_sha256 = built.fingerprint, content.sha256
        row.content_bytes = content.size_bytes
        row.statistics = built.statistics.model_dump(mode="json")
        row.progress_done = row.progress_total = reporter.done
        row.upload_sha256 = row.upload_bytes = row.validator_until = None
    log.info("data set is ready", data_set=data_set_id, images=built.statistics.images)


class _Reporter:
    """Writes the progress of a validation down, not too often."""

    def __init__(self, database: Database, data_set_id: str) -> None:
        self._database, self._data_set_id = database, data_set_id
        self._next = 0.0
        self.done = 0

    def __call__(self, done: int, total: int | None) -> None:
        self.done = done
        if monotonic() < self._next:
            return
        self._next = monotonic() + PROGRESS_SECONDS
        with self._database.write() as session:
            row = session.get_one(DataSetRow, self._data_set_id)
            row.progress_done, row.progress_total = done, total
            row.validator_until = database_now(session) + timedelta(seconds=VALIDATOR_SECONDS)


def _reject(database: Database, data_set_id: str, error: IntakeError) -> None:
    with database.write() as session:
        row = session.get_one(DataSetRow, data_set_id)
        row.state, row.reason = "rejected", error.message
        row.problems = [problem.model_dump() for problem in error.problems]
        row.upload_sha256 = row.upload_bytes = row.validator_until = None
    log.info("data set is rejected", data_set=data_set_id, code=error.code)


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
