"""The table: all rows that are stored, a file for each layer, and the tasks that they are of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lrsearch.contract.probes import Probe
from lrsearch.contract.rates import STAGES, StageRates
from tests.benchmarks.tasks.look import read_probes
from tests.benchmarks.tasks.points import LAYERS
from tests.benchmarks.tasks.rows import Row, read_rows, write_rows

FOLDER: Final = Path(__file__).parent / "table"
PROBES_FILE: Final = "probes.parquet"
PROBES_LINES: Final = "probes.jsonl"


class Measured(NamedTuple):
    """A task with a source model and a seed: all that was run on it."""

    task: str
    domain: str
    source: str
    seed: int
    probe: Probe
    rows: list[Row]
    """Its trials, the baseline first and once."""

    @property
    def rates(self) -> list[StageRates]:
        """Of each trial."""
        return [StageRates(**{stage: row[stage] for stage in STAGES}) for row in self.rows]

    @property
    def audit(self) -> NDArray[np.float64]:
        """Accuracy of each trial on the audit split; a diverged one answers at random."""
        return np.array(
            [
                self.probe.chance
                if row["audit_correct"] is None
                else row["audit_correct"] / row["audit_images"]
                for row in self.rows
            ]
        )


def write_table(rows: Path, folder: Path = FOLDER) -> dict[str, int]:
    """Puts the stored cells and probes of the folder `rows` together; returns the rows by layer."""
    written = {}
    for layer in LAYERS:
        cells = [
            row for path in sorted(rows.glob(f"{layer}--*.parquet")) for row in read_rows(path)
        ]
        if cells:
            write_rows(_file(folder, layer), cells)
            written[layer] = len(cells)
    probes = [
        {"task": task, "source": source, "seed": seed, "probe": probe.model_dump_json()}
        for (task, source, seed), probe in sorted(read_probes(rows / PROBES_LINES).items())
    ]
    pq.write_table(pa.Table.from_pylist(probes), folder / PROBES_FILE, compression="zstd")
    return written


def read_table(layers: Sequence[str] | None = None, folder: Path = FOLDER) -> list[Measured]:
    """What the table holds of the given layers.

    Args:
        layers: By name; a task's trials come in their order, behind the first one's baseline. None:
            all that there are, in the order of `LAYERS`.
        folder: Of the table.
    """
    if layers is None:
        layers = [layer for layer in LAYERS if _file(folder, layer).exists()]
    looked: list[dict[str, Any]] = pq.read_table(folder / PROBES_FILE).to_pylist()
    probes = {
        (each["task"], each["source"]): Probe.model_validate_json(each["probe"])
        for each in looked
        if each["seed"] == 0
    }
    measured: dict[tuple[str, str, int], Measured] = {}
    for row in (row for layer in layers for row in read_rows(_file(folder, layer))):
        key = row["task"], row["source"], row["seed"]
        if key[:2] not in probes:
            continue
        cell = measured.setdefault(
            key, Measured(key[0], row["domain"], key[1], key[2], probes[key[:2]], [])
        )
        if not (row["baseline"] and cell.rows):
            cell.rows.append(row)
    return list(measured.values())


def _file(folder: Path, layer: str) -> Path:
    return folder / f"{layer}.parquet"
