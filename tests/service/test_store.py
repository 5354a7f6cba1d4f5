"""The blob store: whole files by their content, removed when nothing refers to them."""

import os
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import anyio
import pytest
from starlette.requests import ClientDisconnect

from lrsearch.errors import TooLargeError, UnavailableError
from lrsearch.store import Blob, BlobStore

CONTENT = b"some weights" * 1000
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def _receive(store: BlobStore, *chunks: bytes | Exception, max_bytes: int = 10**6) -> Blob:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    return anyio.run(store.receive, stream(), max_bytes)


def test_a_stream_is_stored_under_the_hash_of_its_content(store: BlobStore) -> None:
    assert _receive(store, CONTENT[:100], b"", CONTENT[100:]) == Blob(DIGEST, len(CONTENT))
    assert store.path(DIGEST).read_bytes() == CONTENT
    assert list(store.incoming.iterdir()) == []


def test_a_file_is_copied(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    assert store.add(source) == Blob(DIGEST, len(CONTENT))
    assert source.read_bytes() == store.path(DIGEST).read_bytes() == CONTENT


def test_the_same_content_is_stored_once(store: BlobStore) -> None:
    assert _receive(store, CONTENT) == _receive(store, CONTENT[:7], CONTENT[7:])
    assert store.path(DIGEST).read_bytes() == CONTENT


def test_a_stream_that_is_too_long_leaves_nothing(store: BlobStore) -> None:
    with pytest.raises(TooLargeError, match="larger than 100 bytes"):
        _receive(store, CONTENT, max_bytes=100)
    assert _files(store) == []


def test_a_stream_that_breaks_off_leaves_nothing(store: BlobStore) -> None:
    with pytest.raises(ClientDisconnect):
        _receive(store, CONTENT[:100], ClientDisconnect())
    assert _files(store) == []


def test_a_full_disk_is_reported_and_leaves_nothing(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnavailableError, match="No space left on device") as caught:
        _receive(store, CONTENT)
    assert caught.value.code == "store_unavailable"
    assert _files(store) == []


def test_what_is_old_and_nothing_refers_to_is_removed(store: BlobStore) -> None:
    kept, dropped, fresh = (_receive(store, content) for content in (b"kept", b"dropped", b"fresh"))
    draft = store.incoming / "draft-of-a-crash"
    draft.write_bytes(b"half")
    for path in (store.path(kept.sha256), store.path(dropped.sha256), draft):
        _age(path, seconds=100.0)
    for dry_run in (True, False):
        sweep = store.collect({kept.sha256}, grace_seconds=50.0, dry_run=dry_run)
        assert (sweep.files, sweep.bytes) == (2, len(b"dropped") + len(b"half"))
    assert _files(store) == sorted([store.path(kept.sha256), store.path(fresh.sha256)])


def test_content_that_comes_again_has_its_grace_anew(store: BlobStore) -> None:
    _receive(store, CONTENT)
    _age(store.path(DIGEST), seconds=100.0)
    _receive(store, CONTENT)
    assert store.collect(set(), grace_seconds=50.0).files == 0
    assert store.path(DIGEST).exists()


def _age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def _files(store: BlobStore) -> list[Path]:
    root = store.incoming.parent
    return sorted(path for path in root.rglob("*") if path.is_file())
