"""The cache: what is kept, what goes, and who has to wait."""

import os
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO

import pytest
from filelock import Timeout

from lrsearch_worker.cache import DAY_SECONDS, Cache

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def keep(cache: Cache, address: str, used_at: float, size: int = 100) -> Path:
    """An entry of `size` bytes that was used at a certain time."""
    path = cache.folder / "weights" / f"{address}.safetensors"
    with cache.holding(address):
        cache.file(path, lambda file: file.write(bytes(size)))
        os.utime(path, (used_at, used_at))
    return path


def test_a_file_is_made_once(tmp_path: Path) -> None:
    cache, made = Cache(tmp_path, 1000), []

    def write(file: BinaryIO) -> None:
        made.append(file.write(b"content"))

    for _ in range(2):
        with cache.holding(A):
            assert cache.file(tmp_path / "weights" / A, write).read_bytes() == b"content"
    assert made == [7]


def test_a_file_that_cannot_be_made_whole_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 1000)

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise ValueError("broken off")

    with pytest.raises(ValueError, match="broken off"), cache.holding(A):
        cache.file(tmp_path / "weights" / A, write)
    assert list((tmp_path / "weights").iterdir()) == []


def test_beyond_the_limit_the_longest_unused_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=250)
    old, older = keep(cache, A, used_at=2000.0), keep(cache, B, used_at=1000.0)
    new = keep(cache, C, used_at=3000.0)
    assert [path.exists() for path in (old, older, new)] == [True, False, True]


def test_folders_go_whole(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=150)
    decoded = tmp_path / "images" / f"{A}-16"
    decoded.mkdir(parents=True)
    (decoded / "pixels.npy").write_bytes(bytes(100))
    os.utime(decoded, (1000.0, 1000.0))
    keep(cache, B, used_at=2000.0)
    assert not decoded.exists()


def test_what_somebody_holds_does_not_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=50)
    with Cache(tmp_path, limit_bytes=10**6).holding(A):
        path = tmp_path / "weights" / f"{A}.safetensors"
        cache.file(path, lambda file: file.write(bytes(100)))
        keep(cache, B, used_at=2000.0)
        assert path.exists()


def test_what_a_killed_worker_left_half_done_goes_after_a_day(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=1000)
    left, busy = tmp_path / "images" / ".decoding-1", tmp_path / "images" / ".decoding-2"
    for folder in (left, busy):
        folder.mkdir(parents=True)
    long_ago = busy.stat().st_mtime - 2 * DAY_SECONDS
    os.utime(left, (long_ago, long_ago))
    with cache.holding(A):
        pass
    assert [left.exists(), busy.exists()] == [False, True]


def test_a_second_worker_waits_for_the_first_and_then_finds_the_file(tmp_path: Path) -> None:
    holding, waiting, found = Event(), Event(), []
    path = tmp_path / "weights" / A

    def looks_while_waiting() -> bool:
        waiting.set()
        return False

    def second() -> None:
        holding.wait()
        with Cache(tmp_path, 1000).holding(A, looks_while_waiting):
            found.append(path.exists())

    thread = Thread(target=second)
    thread.start()
    cache = Cache(tmp_path, 1000)
    with cache.holding(A):
        holding.set()
        waiting.wait()
        cache.file(path, lambda file: file.write(b"content"))
    thread.join()
    assert found == [True]


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    with (
        Cache(tmp_path, 1000).holding(A),
        pytest.raises(Timeout),
        Cache(tmp_path, 1000).holding(A, give_up=lambda: True),
    ):
        pass
