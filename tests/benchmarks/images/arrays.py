"""Opens pickled NumPy arrays of others without running what a pickle may carry."""

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core import multiarray
from numpy.typing import NDArray


def load_pickled_array(path: Path) -> NDArray[np.uint8] | NDArray[np.int64]:
    """The array of the gzipped pickle at `path`.

    Raises:
        pickle.UnpicklingError: The pickle asks for anything beyond a NumPy array of numbers.
    """
    with gzip.open(path) as file:
        array = _ArrayUnpickler(file).load()
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise pickle.UnpicklingError(f"{path.name} holds no array of whole numbers")
    return array


class _ArrayUnpickler(pickle.Unpickler):
    _ALLOWED = {  # noqa: RUF012  (never changed; the base class leaves no room for ClassVar)
        ("numpy.core.multiarray", "_reconstruct"): multiarray._reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"a pickled array has no use for {module}.{name}"
            ) from None
