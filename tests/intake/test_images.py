"""Images: which files are readable, and why the others are not."""

from io import BytesIO

import pytest
from PIL import Image

from lrsearch.intake.images import ImageFacts, inspect_image
from tests.intake.uploads import animals

MAX_PIXELS = 10_000


def picture(mode: str = "RGB", side: int = 40) -> Image.Image:
    silhouette = Image.open(BytesIO(next(iter(animals(1, 1).values()))))
    return silhouette.resize((side, side + 10)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_six_formats_are_readable(kind: str) -> None:
    content = encoded(picture(), kind)
    facts = inspect_image(content, MAX_PIXELS)
    assert isinstance(facts, ImageFacts)
    assert (facts.format, facts.width, facts.height) == (kind, 40, 50)
    assert facts.size_bytes == len(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_truncated_images_are_unreadable(kind: str, share: float) -> None:
    content = encoded(Image.effect_noise((64, 64), 50).convert("RGB"), kind)
    assert isinstance(inspect_image(content[: int(len(content) * share)], MAX_PIXELS), str)


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "L"), ("PNG", "RGBA"), ("GIF", "P"), ("PNG", "I;16")]
)
def test_the_mode_is_that_of_the_file(kind: str, mode: str) -> None:
    image = Image.new(mode, (4, 4)) if mode == "I;16" else picture(mode)
    facts = inspect_image(encoded(image, kind), MAX_PIXELS)
    assert isinstance(facts, ImageFacts)
    assert facts.mode == mode


def test_an_animation_counts_by_its_first_frame() -> None:
    frames = [picture("L"), picture("L").transpose(Image.Transpose.ROTATE_180)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert isinstance(inspect_image(content, MAX_PIXELS), ImageFacts)


def test_a_photograph_with_a_second_picture_inside_is_a_jpeg() -> None:
    content = encoded(picture(), "MPO", save_all=True, append_images=[picture()])
    facts = inspect_image(content, MAX_PIXELS)
    assert isinstance(facts, ImageFacts)
    assert facts.format == "JPEG"


@pytest.mark.parametrize("kind", ["PPM", "ICO", "PDF"])
def test_other_formats_are_unreadable(kind: str) -> None:
    reason = inspect_image(encoded(picture(), kind), MAX_PIXELS)
    assert isinstance(reason, str)
    assert reason.startswith("not an image")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_unreadable(content: bytes) -> None:
    assert isinstance(inspect_image(content, MAX_PIXELS), str)


def test_an_image_of_too_many_pixels_is_not_decoded() -> None:
    reason = inspect_image(encoded(Image.new("1", (101, 100)), "PNG"), MAX_PIXELS)
    assert reason == "101×100 pixels; 10000 are the limit"


def test_a_decompression_bomb_is_unreadable() -> None:
    content = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    assert isinstance(inspect_image(bytes(content), MAX_PIXELS), str)
