"""The table: what is stored comes back, layer by layer."""

from pathlib import Path

import pytest

from lrsearch.contract.rates import STAGES
from tests.benchmarks.tasks.look import append_probe
from tests.benchmarks.tasks.rows import SCHEMA, Row, write_rows
from tests.benchmarks.tasks.table import PROBES_LINES, read_table, write_table
from tests.probes import a_probe

KEY: dict[str, str | int] = {"task": "digits-5", "source": "letters", "seed": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of two layers of one task, whose baseline both ran."""
    rows = tmp_path / "rows"
    for layer, heads in (("staged", [0.1, 0.2]), ("graduated", [0.4])):
        cell = [a_row(layer, 0, 0.01), *(a_row(layer, i + 1, h) for i, h in enumerate(heads))]
        write_rows(rows / f"{layer}--digits-5--letters--0.parquet", cell)
    append_probe(rows / PROBES_LINES, KEY, a_probe(labels=10))
    assert write_table(rows, tmp_path / "table") == {"graduated": 2, "staged": 3}
    return tmp_path / "table"


def a_row(layer: str, trial: int, head: float) -> Row:
    stages = dict.fromkeys(STAGES, 0.0) | {"head": head}
    known = {**KEY, "domain": "digits", "layer": layer, "trial": trial, "baseline": trial == 0}
    return dict.fromkeys(SCHEMA.names) | known | stages


def test_a_layer_is_read_alone(folder: Path) -> None:
    (measured,) = read_table(["staged"], folder)
    assert [rates.head for rates in measured.rates] == [0.01, 0.1, 0.2]
    assert measured.probe.labels == 10


@pytest.mark.parametrize(
    ("layers", "heads"),
    [
        (["graduated", "staged"], [0.01, 0.4, 0.1, 0.2]),
        (["staged", "graduated"], [0.01, 0.1, 0.2, 0.4]),
        (None, [0.01, 0.4, 0.1, 0.2]),
    ],
)
def test_a_tasks_trials_come_in_the_order_of_the_layers_behind_one_baseline(
    folder: Path, layers: list[str] | None, heads: list[float]
) -> None:
    (measured,) = read_table(layers, folder)
    assert [rates.head for rates in measured.rates] == heads
    assert [row["baseline"] for row in measured.rows] == [True, False, False, False]
