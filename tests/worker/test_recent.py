"""What is wanted by several at about the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import Tensor

from lrsearch_worker.engine.recent import Recent

FLOAT_BYTES = 4


def test_what_two_threads_want_is_made_once() -> None:
    recent, made, together = Recent(2**20), [], Barrier(2)

    def make() -> Tensor:
        made.append(1)
        return torch.ones(1)

    def ask(_: int) -> Tensor:
        together.wait()
        return recent.get("a", make)

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(ask, range(2))
    assert first is second
    assert made == [1]


def test_the_longest_unused_goes_and_the_latest_stays_whatever_its_size() -> None:
    recent = Recent(2 * FLOAT_BYTES)
    one = recent.get("one", lambda: torch.ones(1))
    recent.get("two", lambda: torch.ones(1))
    assert recent.get("one", lambda: torch.zeros(1)) is one
    large = recent.get("large", lambda: torch.ones(5))
    assert recent.get("large", lambda: torch.zeros(1)) is large
    assert recent.get("one", lambda: torch.zeros(1)) is not one


def test_who_asks_after_an_error_tries_again() -> None:
    recent = Recent(2**20)

    def fail() -> Tensor:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        recent.get("a", fail)
    assert recent.get("a", lambda: torch.ones(1)).item() == 1.0
