"""A row of the table: one trial, and what it gives on images that it never saw."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lrsearch.contract.rates import STAGES
from lrsearch.contract.trials import Trial
from tests.benchmarks.tasks.observe import Seen

Row = dict[str, Any]

_FLOATS: Final = pa.list_(pa.float32())

SCHEMA: Final = pa.schema(
    [
        ("task", pa.string()),
        ("domain", pa.string()),
        ("source", pa.string()),
        ("layer", pa.string()),
        ("seed", pa.int16()),
        ("trial", pa.int16()),
        ("baseline", pa.bool_()),
        *((stage, pa.float64()) for stage in STAGES),  # the stage rates
        ("state", pa.string()),
        ("val_images", pa.int32()),
        ("train_loss", _FLOATS),  # by epoch, as are the next two
        ("val_loss", _FLOATS),
        ("val_top1", _FLOATS),
        ("test_images", pa.int32()),
        ("test_epochs", pa.list_(pa.int16())),
        ("test_correct", pa.list_(pa.int32())),  # after each of `test_epochs`
        ("test_right", pa.binary()),  # a bit for each test image, after the last epoch
        ("audit_images", pa.int32()),
        ("audit_correct", pa.int32()),  # after the last epoch
        ("audit_right", pa.binary()),
        ("seconds", pa.float32()),
    ]
)
"""Columns that are null: what a trial that did not run to its end does not have."""


def row_of(trial: Trial, seen: Seen, **known: Any) -> Row:
    """The row of a trial.

    Args:
        trial: As the service tells it.
        seen: As the auditor saw it.
        known: The columns that are the same for all trials of a job.
    """
    epochs = sorted(seen.test)
    return {
        **known,
        "trial": trial.number,
        "baseline": trial.baseline,
        **dict(trial.rates.items()),
        "state": trial.state,
        "val_images": seen.validation_images,
        "train_loss": [epoch.train_loss for epoch in trial.curve],
        "val_loss": [epoch.val_loss for epoch in trial.curve],
        "val_top1": [epoch.val_top1 for epoch in trial.curve],
        "test_images": len(seen.test[epochs[-1]]) if epochs else None,
        "test_epochs": epochs,
        "test_correct": [int(seen.test[epoch].sum()) for epoch in epochs],
        "test_right": _packed(seen.test[epochs[-1]]) if epochs else None,
        "audit_images": None if seen.audit is None else len(seen.audit),
        "audit_correct": None if seen.audit is None else int(seen.audit.sum()),
        "audit_right": None if seen.audit is None else _packed(seen.audit),
        "seconds": trial.seconds,
    }


def write_rows(path: Path, rows: list[Row]) -> None:
    """Writes a Parquet file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_name(f".{path.name}.unfinished")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), work, compression="zstd")
    work.rename(path)


def read_rows(path: Path) -> list[Row]:
    """The rows of a file that `write_rows` wrote."""
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


def unpacked(right: bytes, images: int) -> NDArray[np.bool_]:
    """Which of `images` images are right, from a row's bits."""
    return np.unpackbits(np.frombuffer(right, np.uint8), count=images).astype(bool)


def _packed(right: NDArray[np.bool_]) -> bytes:
    return np.packbits(right).tobytes()
