"""Real images and a tiny checkpoint to send."""

import io
import json
import zipfile
from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from safetensors.numpy import save

from lrsearch.contract.sources import METADATA_KEY

Files = dict[str, bytes]
"""Contents by path."""


@cache
def _silhouettes() -> dict[str, list[tuple[str, bytes]]]:
    images: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    with zipfile.ZipFile(
        io.BytesIO(files("lrsearch").joinpath("samples/silhouettes.zip").read_bytes())
    ) as archive:
        for path in sorted(archive.namelist()):
            label, _, name = path.partition("/")
            images[label].append((name, archive.read(path)))
    return images


def silhouettes(labels: int = 3, images: int = 20) -> Files:
    """`label/name` of so many images of so many labels, 28 × 28 pixels each."""
    return {
        f"{label}/{name}": content
        for label in sorted(_silhouettes())[:labels]
        for name, content in _silhouettes()[label][:images]
    }


def zip_of(contents: Files, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of files; a path that ends with `/` is a folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
    return packed.getvalue()


def checkpoint(spec: dict[str, Any] | str | None = None, fill: float = 0.0) -> bytes:
    """A safetensors file that says of itself that it is a narrow ResNet-27, or whatever `spec`."""
    if spec is None:
        spec = {"architecture": {"network": "resnet27", "width": 0.25}, "input_size": 32}
    text = spec if isinstance(spec, str) else json.dumps(spec)
    return save({"head.weight": np.full((2, 3), fill, np.float32)}, {METADATA_KEY: text})


def weights(number: int) -> bytes:
    """What a worker might upload for trial `number`: safetensors, different for each."""
    return save({"head.weight": np.full((2, 3), number, np.float32)})
