"""Real images for the worker's tests: the silhouettes that ship as a sample."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lrsearch
from lrsearch_worker.data.images import Images, ImageStore

SILHOUETTES = Path(lrsearch.__file__).parent / "samples" / "silhouettes.zip"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


@pytest.fixture(scope="session")
def silhouettes(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """1,500 silhouettes of 10 animals at 16 pixels."""
    store = ImageStore(tmp_path_factory.mktemp("store"))
    return store.images(SILHOUETTES, fingerprint="0" * 64, side=16)


@pytest.fixture(scope="session")
def three_animals(silhouettes: Images) -> Images:
    """20 silhouettes each of three animals."""
    return _first_three_labels(silhouettes)


@pytest.fixture(scope="session")
def three_animals_at_32(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The same at 32 pixels."""
    store = ImageStore(tmp_path_factory.mktemp("store"))
    return _first_three_labels(store.images(SILHOUETTES, fingerprint="0" * 64, side=32))


def _first_three_labels(silhouettes: Images) -> Images:
    chosen = np.concatenate([np.flatnonzero(silhouettes.labels == i)[:20] for i in range(3)])
    return replace(
        silhouettes,
        pixels=silhouettes.pixels[chosen],
        labels=silhouettes.labels[chosen],
        label_names=silhouettes.label_names[:3],
        names=[silhouettes.names[i] for i in chosen],
        hashes=[silhouettes.hashes[i] for i in chosen],
    )
