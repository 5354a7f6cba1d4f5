"""Augmentation: views of images, and the arithmetic under them."""

import numpy as np
import pytest
import torch

from lrsearch.contract.recipes import NoAugmentation, Views
from lrsearch_worker.data.augment import Draws, augmented, normalised, to_unit
from lrsearch_worker.data.images import Images
from lrsearch_worker.data.views import draw_view, view_count, view_of_epoch


def unchanged(images: int) -> Draws:
    half, one = torch.full((images,), 0.5), torch.ones(images)
    return Draws(half, half, one, one, one, one)


@pytest.fixture
def pictures(silhouettes: Images) -> torch.Tensor:
    return to_unit(torch.from_numpy(silhouettes.pixels[[0, 150, 300, 450]]))


def test_pixels_become_channels_between_0_and_1() -> None:
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    images = to_unit(pixels)
    assert images.shape == (1, 3, 2, 2)
    assert images[0, :, 0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])


def test_drawing_nothing_changes_nothing(pictures: torch.Tensor) -> None:
    torch.testing.assert_close(augmented(pictures.clone(), unchanged(4)), pictures)


def test_a_negative_width_mirrors(pictures: torch.Tensor) -> None:
    draws = unchanged(4)._replace(width=-torch.ones(4))
    torch.testing.assert_close(augmented(pictures.clone(), draws), pictures.flip(3))


def test_a_crop_of_a_quarter_shows_that_quarter(pictures: torch.Tensor) -> None:
    half = torch.full((4,), 0.5)
    draws = Draws(half / 2, half * 1.5, half, half, torch.ones(4), torch.ones(4))
    cropped = augmented(pictures.clone(), draws)
    expected = torch.nn.functional.interpolate(
        pictures[:, :, 8:, :8], scale_factor=2, mode="bilinear"
    )
    torch.testing.assert_close(cropped[:, :, 2:-2, 2:-2], expected[:, :, 2:-2, 2:-2])


def test_brightness_multiplies_and_contrast_turns_around_grey() -> None:
    images = torch.full((1, 3, 4, 4), 0.4)
    brighter = augmented(images.clone(), unchanged(1)._replace(brightness=torch.tensor([1.5])))
    assert brighter.mean().item() == pytest.approx(0.6)
    flatter = augmented(images.clone(), unchanged(1)._replace(contrast=torch.tensor([0.5])))
    assert flatter.mean().item() == pytest.approx(0.45)


def test_normalisation_is_by_channel() -> None:
    images = normalised(torch.full((1, 3, 2, 2), 0.5), (0.5, 0.4, 0.0), (0.5, 0.1, 0.25))
    assert images[0, :, 0, 0].tolist() == pytest.approx([0.0, 1.0, 2.0])


def test_views_are_cycled_by_epoch() -> None:
    views = Views(views=3)
    assert [view_of_epoch(views, e) for e in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert view_count(views) == 3
    assert view_count(NoAugmentation()) == 1


def test_a_view_depends_on_seed_number_and_content_and_not_on_its_company() -> None:
    names = ["a", "b", "c"]
    together = torch.stack(draw_view(names, Views(), seed=1, view=0))
    alone = torch.stack(draw_view(["b"], Views(), seed=1, view=0))
    assert torch.equal(together[:, 1:2], alone)
    for other in (
        draw_view(["b"], Views(), seed=2, view=0),
        draw_view(["b"], Views(), seed=1, view=1),
        draw_view(["c"], Views(), seed=1, view=0),
    ):
        assert not torch.equal(torch.stack(other), alone)


def test_views_keep_within_what_the_recipe_allows() -> None:
    views = Views(crop_scale=0.5, colour=0.2)
    draws = draw_view([str(i) for i in range(2000)], views, seed=0, view=0)
    width, area = draws.width.abs(), (draws.width * draws.height).abs()
    assert (draws.centre_x - width / 2).min() > -1e-6
    assert (draws.centre_x + width / 2).max() < 1.0 + 1e-6
    assert (draws.centre_y + draws.height / 2).max() < 1.0 + 1e-6
    assert area.max() <= 1.0
    assert 0.42 < area.min() < 0.52
    for factor in (draws.brightness, draws.contrast):
        assert 0.8 <= factor.min() < 0.81
        assert 1.19 < factor.max() <= 1.2
    assert np.isclose((draws.width < 0).float().mean(), 0.5, atol=0.05)
    assert (draw_view(["a"] * 9, Views(flip=False), seed=0, view=0).width > 0).all()
