"""Source models: shipped ones, registered ones, and the check that weights fit their network."""

import json
import zipfile
from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from sqlalchemy import select
from sqlalchemy.orm import Session

from lrsearch.access.limits import require_room
from lrsearch.access.principals import SHARED, Principal, find_named, owner_of, visible
from lrsearch.contract.pages import Page
from lrsearch.contract.sources import METADATA_KEY, ResNet27, SourceModel, SourceSpec
from lrsearch.db.engine import Database, database_now
from lrsearch.db.tables import SourceModelRow, WorkRow
from lrsearch.errors import ConflictError, InvalidError, NotFoundError, invalid_field
from lrsearch.ids import new_id
from lrsearch.paging import newest_first
from lrsearch.store import Blob, BlobStore

RANDOM_SOURCE = "random"
"""Name of the source model without weights: what training from scratch gives."""


def read_spec(path: Path) -> SourceSpec:
    """What a checkpoint says of itself.

    Raises:
        InvalidError: it is no safetensors file, holds no tensors or no valid specification.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, tensors = file.metadata() or {}, len(list(file.keys()))
    except (SafetensorError, OSError) as error:
        raise _not_safetensors(path, error) from error
    if METADATA_KEY not in metadata or tensors == 0:
        raise invalid_field(
            "checkpoint",
            f"holds {tensors} tensors and no specification: its metadata needs the key "
            f"{METADATA_KEY!r}; lrsearch-worker models convert writes it",
            code="checkpoint_without_spec",
        )
    try:
        return SourceSpec.model_validate_json(metadata[METADATA_KEY])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(("checkpoint", METADATA_KEY, *(str(part) for part in first["loc"])))
        raise invalid_field(
            where, first["msg"], first["input"], code="checkpoint_without_spec"
        ) from error


def register_source_model(
    session: Session,
    name: str,
    spec: SourceSpec,
    weights: Blob,
    principal: Principal,
    *,
    shared: bool = False,
) -> SourceModel:
    """A new source model, to be checked by a worker.

    Raises:
        ConflictError: the name is taken.
        ForbiddenError: only an administrator may share.
        LimitError: the principal has as many bytes as are allowed.
    """
    owner = owner_of(principal, shared=shared)
    require_free_name(session, name, owner)
    require_room(session, principal, weights.size_bytes)
    row = _row(session, name, spec, weights, owner, state="checking")
    session.add(row)
    session.add(WorkRow(id=row.id, kind="check_model", state="waiting", attempts=0))
    return source_model_as_contract(row)


def install_shipped_models(database: Database, store: BlobStore) -> None:
    """Register the source models that come with the package, and `random`; known ones stay."""
    with database.write() as session:
        shared = select(SourceModelRow.name).where(SourceModelRow.owner == SHARED)
        known = set(session.scalars(shared))
        if RANDOM_SOURCE not in known:
            spec = SourceSpec(architecture=ResNet27(width=0.25), input_size=32)
            session.add(_row(session, RANDOM_SOURCE, spec, None, SHARED, state="ready"))
        for resource in files("lrsearch").joinpath("sources").iterdir():
            name = resource.name.removesuffix(".safetensors")
            if name == resource.name or name in known:
                continue
            with as_file(resource) as path:
                blob = store.add(path)
                session.add(_row(session, name, read_spec(path), blob, SHARED, state="ready"))


def find_source_model(session: Session, reference: str, principal: Principal) -> SourceModelRow:
    """The row that an id or a name means to the principal.

    Raises:
        NotFoundError: it means none; the error names those that the principal may see.
    """
    row = find_named(session, SourceModelRow, reference, principal)
    if row is None:
        known = select(SourceModelRow.name).where(visible(SourceModelRow.owner, principal))
        raise NotFoundError(
            detail=f"source_model: there is no source model {reference!r}.",
            remedy=f"Known: {_listed(session.scalars(known))}.",
            code="source_model_unknown",
        )
    return row


def require_ready_source_model(row: SourceModelRow) -> SourceModelRow:
    """The row, if jobs may use it; raises `ConflictError`."""
    if row.state == "ready":
        return row
    why = f": {row.reason}" if row.reason else ""
    raise ConflictError(
        detail=f"Source model {row.name!r} is {row.state}{why}.",
        remedy="Wait until a worker has checked it."
        if row.state == "checking"
        else "Register a checkpoint that fits its network.",
        code=f"source_model_{row.state}",
    )


def require_free_name(session: Session, name: str, owner: str) -> None:
    """Raise `ConflictError` where a source model of the owner, or a shared one, has the name."""
    taken = select(SourceModelRow.id).where(
        SourceModelRow.name == name, SourceModelRow.owner.in_((owner, SHARED))
    )
    if session.scalar(taken.limit(1)):
        raise ConflictError(
            detail=f"name: there is a source model {name!r} already.",
            remedy="Choose another name.",
            code="name_taken",
        )


def list_source_models(
    session: Session, principal: Principal, cursor: str | None, limit: int
) -> Page[SourceModel]:
    """Source models that the principal may see, the newest first."""
    query = select(SourceModelRow).where(visible(SourceModelRow.owner, principal))
    rows, next_cursor = newest_first(session, query, SourceModelRow.id, cursor, limit)
    return Page(items=[source_model_as_contract(row) for row in rows], next_cursor=next_cursor)


def source_model_as_contract(row: SourceModelRow) -> SourceModel:
    """The row as it is shown."""
    return SourceModel(
        id=row.id,
        name=row.name,
        state=row.state,
        reason=row.reason,
        spec=SourceSpec.model_validate(row.spec),
        weights_sha256=row.weights_sha256,
        weights_bytes=row.weights_bytes,
        created_at=row.created_at,
    )


def _row(
    session: Session,
    name: str,
    spec: SourceSpec,
    weights: Blob | None,
    owner: str,
    state: str,
) -> SourceModelRow:
    return SourceModelRow(
        id=new_id(),
        name=name,
        owner=owner,
        state=state,
        spec=json.loads(spec.model_dump_json()),
        weights_sha256=weights.sha256 if weights else None,
        weights_bytes=weights.size_bytes if weights else 0,
        created_at=database_now(session),
    )


def _not_safetensors(path: Path, error: Exception) -> InvalidError:
    with path.open("rb") as file:
        start = file.read(4)
    pickled = start[:1] == b"\x80" or _is_torch_zip(path)
    what = "is a pickle, which can run code when it is loaded" if pickled else f"is broken: {error}"
    return invalid_field(
        "checkpoint",
        f"must be a safetensors file, but {what}; convert a .pt file on your own machine: "
        "lrsearch-worker models convert",
        code="checkpoint_pickled" if pickled else "checkpoint_unreadable",
    )


def _is_torch_zip(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
