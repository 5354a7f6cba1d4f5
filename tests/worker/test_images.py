"""Decoding, and the store of decoded data sets."""

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrsearch_worker.data.decode import UnreadableImageError, decode
from lrsearch_worker.data.images import ImageStore

KEY = "a" * 64


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Five uniform pictures: three of cats in darker, two of dogs in lighter grey."""
    greys = {"dog/b.png": 200, "cat/1.png": 10, "cat/3.png": 30, "cat/2.png": 20, "dog/a.png": 180}
    entries = {name: png(Image.new("L", (24, 20), grey)) for name, grey in greys.items()}
    return archive(tmp_path / "pets.zip", entries)


def test_grey_becomes_rgb_and_is_squashed_to_the_square() -> None:
    image = Image.new("L", (40, 10), 0)
    image.paste(255, (20, 0, 40, 10))
    pixels = decode(png(image), 16, "a.png")
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[:, :6] == 0).all()
    assert (pixels[:, 10:] == 255).all()


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 255])
    buffer = BytesIO()
    palette.save(buffer, "PNG", transparency=0)
    for data in (png(clear), png(Image.new("LA", (16, 16), (0, 0))), buffer.getvalue()):
        assert (decode(data, 16, "a.png") == 255).all()


def test_the_cameras_orientation_is_applied() -> None:
    image = Image.new("RGB", (16, 16))
    image.paste((255, 255, 255), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: the top is at the right
    buffer = BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    pixels = decode(buffer.getvalue(), 16, "a.jpg")
    assert pixels[:, 10:].min() > 200
    assert pixels[:, :6].max() < 50


def test_sixteen_bits_of_grey_are_scaled_to_eight() -> None:
    image = Image.fromarray(np.full((16, 16), 0x8080, dtype=np.uint16))
    assert (decode(png(image), 16, "a.png") == 0x80).all()


@pytest.mark.parametrize("data", [b"", b"no image", png(Image.new("L", (64, 64)))[:60]])
def test_what_is_no_image_is_an_error_that_names_the_file(data: bytes) -> None:
    with pytest.raises(UnreadableImageError, match=r"cat/7\.png cannot be decoded"):
        decode(data, 16, "cat/7.png")


def test_a_data_set_is_read_in_the_order_of_its_names(pets: Path, tmp_path: Path) -> None:
    images = ImageStore(tmp_path / "store").images(pets, KEY, 16)
    assert images.names == ["cat/1.png", "cat/2.png", "cat/3.png", "dog/a.png", "dog/b.png"]
    assert images.label_names == ["cat", "dog"]
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.pixels[:, 0, 0, 0].tolist() == [10, 20, 30, 180, 200]
    assert images.side == 16
    with zipfile.ZipFile(pets) as file:
        assert images.hashes == [hashlib.sha256(file.read(n)).hexdigest() for n in images.names]


def test_a_data_set_is_decoded_once_for_each_size(pets: Path, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store")
    progress: list[tuple[int, int]] = []
    first = store.images(pets, KEY, 16, lambda done, total: progress.append((done, total)))
    assert progress == [(i, 5) for i in range(1, 6)]
    again = store.images(tmp_path / "no-such.zip", KEY, 16)
    assert np.array_equal(first.pixels, again.pixels)
    assert again.hashes == first.hashes
    assert store.images(pets, KEY, 20).side == 20


def test_two_at_once_get_the_same_whole_data_set(pets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: ImageStore(folder).images(pets, KEY, 16), range(4)))
    assert all(np.array_equal(r.pixels, results[0].pixels) for r in results)
    assert [path.name for path in folder.iterdir()] == [f"{KEY}-16"]


def test_an_unreadable_image_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = archive(tmp_path / "bad.zip", {"cat/1.png": b"broken", "dog/1.png": b"broken"})
    with pytest.raises(UnreadableImageError, match=r"cat/1\.png"):
        ImageStore(tmp_path / "store").images(bad, KEY, 16)
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [({}, "holds no images"), ({"top.png": b""}, r"'top\.png'; every entry must be named label/")],
)
def test_an_archive_that_is_no_data_set_is_refused(
    entries: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    path = archive(tmp_path / "bad.zip", entries)
    with pytest.raises(ValueError, match=message):
        ImageStore(tmp_path / "store").images(path, KEY, 16)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="is no ZIP file"):
        ImageStore(tmp_path / "store").images(tmp_path / "bad.zip", KEY, 16)
