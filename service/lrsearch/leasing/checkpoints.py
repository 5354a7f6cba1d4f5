"""Checkpoints of trials: linked under the fence, handed to the next holder of the trial.

They have a store of their own: they come often, each replaces the one before, nobody but the
holder of the lease may read them, and a backup needs none.
"""

from pathlib import Path

from sqlalchemy.orm import Session

from lrsearch.contract.leases import Checkpoint
from lrsearch.db.tables import TrialRow
from lrsearch.errors import invalid_field
from lrsearch.jobs.requests import request_of
from lrsearch.leasing.fence import fenced
from lrsearch.store import BlobStore


def checkpoint_store(data_dir: Path) -> BlobStore:
    """Where the files are."""
    return BlobStore(data_dir / "checkpoints")


def checkpoint_of(trial: TrialRow) -> Checkpoint | None:
    """The trial's checkpoint, if it has one."""
    if trial.checkpoint_sha256 is None or trial.checkpoint_epochs is None:
        return None
    return Checkpoint(sha256=trial.checkpoint_sha256, epochs=trial.checkpoint_epochs)


def note_checkpoint(
    session: Session, lease_id: str, token: str, work_id: str, checkpoint: Checkpoint
) -> str | None:
    """Link a checkpoint that arrived under a lease to its trial.

    Returns:
        SHA-256 of the one that it replaces, which nothing refers to any more.

    Raises:
        ConflictError: the lease is lost, or the trial is reported already.
        InvalidError: it cannot hold so many epochs.
    """
    held = fenced(session, lease_id, token)
    _, trial = held.running_trial(work_id)
    assert held.job is not None
    epochs = request_of(held.job).recipe.epochs
    if checkpoint.epochs > epochs:
        raise invalid_field("epochs", f"the recipe has {epochs} epochs", checkpoint.epochs)
    former = trial.checkpoint_sha256
    trial.checkpoint_sha256, trial.checkpoint_epochs = checkpoint.sha256, checkpoint.epochs
    return former if former != checkpoint.sha256 else None


def held_checkpoint(session: Session, lease_id: str, token: str, work_id: str) -> str | None:
    """SHA-256 of the checkpoint of a trial under the lease, if it has one.

    Raises:
        ConflictError: the lease is lost, or the trial is reported already.
    """
    _, trial = fenced(session, lease_id, token).running_trial(work_id)
    return trial.checkpoint_sha256
