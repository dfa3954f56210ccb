import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from conftest import make_recipe
from lesionwise.training.step.augment import _sampling_grid, augment, evaluation_view, to_unit_range

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (6, 30, 40, 3)).astype(np.uint8))
EVERYTHING: dict[str, Any] = {
    "rotation": 180, "zoom": [0.7, 1.4], "shift": 0.2, "aspect": 0.2, "flip": True,
    "blur": 0.02, "jpeg": 40, "brightness": 0.2, "contrast": 0.2, "color": 0.1,
}  # fmt: skip


def changed(
    images: torch.Tensor, samples: list[int], *, seed: int = 0, epoch: int = 0, **keys: object
) -> torch.Tensor:
    return augment(images, make_recipe(image_size=[30, 40], **keys), seed=seed, epoch=epoch, samples=samples)


def test_without_any_change_the_image_stays_as_it_is() -> None:
    torch.testing.assert_close(changed(IMAGES, [0] * 6), to_unit_range(IMAGES), atol=1e-5, rtol=0)


def test_a_change_belongs_to_the_sample_and_not_to_its_batch() -> None:
    together = changed(IMAGES, [3, 1, 4, 15, 9, 2], **EVERYTHING)
    alone = changed(IMAGES[4:5], [9], **EVERYTHING)
    torch.testing.assert_close(together[4:5], alone, atol=1e-6, rtol=0)


def test_seed_and_epoch_change_the_change() -> None:
    first = changed(IMAGES[:1], [0], **EVERYTHING)
    assert not torch.equal(first, changed(IMAGES[:1], [0], epoch=1, **EVERYTHING))
    assert not torch.equal(first, changed(IMAGES[:1], [0], seed=1, **EVERYTHING))


def test_a_flip_is_one_of_the_four_mirror_images() -> None:
    source = to_unit_range(IMAGES[:1])
    mirrors = [source, source.flip(2), source.flip(3), source.flip((2, 3))]
    seen = set()
    for sample in range(40):
        image = changed(IMAGES[:1], [sample], flip=True)
        (which,) = [index for index, mirror in enumerate(mirrors) if torch.allclose(image, mirror, atol=1e-5)]
        seen.add(which)
    assert seen == {0, 1, 2, 3}


def test_at_zoom_one_a_square_crop_shows_the_centre_in_full_height() -> None:
    image = torch.zeros(1, 30, 40, 3, dtype=torch.uint8)
    image[:, :, 5:35] = 255
    assert changed(image, [0], train_size=[30, 30]).min() > 0.99


def test_zoom_magnifies() -> None:
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[:, 24:40, 24:40] = 255
    recipe = make_recipe(image_size=[64, 64], zoom=[2.0, 2.0])
    area = augment(image, recipe, seed=0, epoch=0, samples=[0]).mean() * 64 * 64
    assert abs(area.item() - 4 * 16 * 16) < 70


def test_a_rotation_keeps_shapes_in_an_oblong_image() -> None:
    image = torch.zeros(1, 60, 80, 3, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.arange(60) - 29.5, torch.arange(80) - 39.5, indexing="ij")
    image[0][(x**2 + y**2) < 15**2] = 255
    recipe = make_recipe(image_size=[60, 80], rotation=180)
    for sample in range(5):
        turned = augment(image, recipe, seed=0, epoch=0, samples=[sample])
        assert (turned - to_unit_range(image)).abs().mean() < 0.01  # a disc stays a disc


def test_shift_stays_within_its_bound() -> None:
    image = torch.zeros(1, 50, 50, 3, dtype=torch.uint8)
    image[:, 25, 25] = 255
    recipe = make_recipe(image_size=[50, 50], shift=0.2)
    for sample in range(20):
        moved = augment(image, recipe, seed=0, epoch=0, samples=[sample]).sum(1)[0]
        y, x = divmod(int(moved.argmax()), 50)
        assert abs(y - 25) <= 11
        assert abs(x - 25) <= 11


def test_every_second_image_stays_sharp_and_no_blur_is_stronger_than_asked() -> None:
    dot = torch.zeros(200, 101, 81, 3, dtype=torch.uint8)
    dot[:, 50, 40] = 255
    recipe = make_recipe(image_size=[101, 81], blur=0.04)
    spread = augment(dot, recipe, seed=0, epoch=0, samples=range(200))[:, 0]
    torch.testing.assert_close(spread.sum((1, 2)), torch.ones(200), atol=1e-4, rtol=0)
    down, across = ((torch.arange(side) - side // 2) ** 2.0 for side in (101, 81))
    deviations = [(spread.sum(2) @ down).sqrt(), (spread.sum(1) @ across).sqrt()]
    torch.testing.assert_close(*deviations, atol=0.01, rtol=0.01)
    assert 80 < (deviations[0] < 0.05).sum() < 120
    assert 3.5 < deviations[0].max() <= 0.04 * 101


def test_blur_is_worked_out_in_full_where_training_is_in_bf16() -> None:
    full = changed(IMAGES, [0, 1, 2, 3, 4, 5], blur=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(changed(IMAGES, [0, 1, 2, 3, 4, 5], blur=0.05), full, atol=1e-6, rtol=0)


def test_a_blurred_plain_image_stays_plain_to_its_border() -> None:
    plain = torch.full((8, 30, 40, 3), 90, dtype=torch.uint8)
    torch.testing.assert_close(changed(plain, list(range(8)), blur=0.1), to_unit_range(plain))


@pytest.mark.parametrize("key", ["brightness", "contrast", "color"])
def test_colours_stay_in_range_and_shapes_where_they_are(key: str) -> None:
    keys: dict[str, Any] = {key: 0.3}
    image = changed(IMAGES[:1], [7], **keys)
    assert image.min() >= 0
    assert image.max() <= 1
    correlation = np.corrcoef(image.flatten(), to_unit_range(IMAGES[:1]).flatten())[0, 1]
    assert correlation > 0.9
    assert (image - to_unit_range(IMAGES[:1])).abs().max() > 0.01


def test_an_image_is_changed_as_before_there_were_jpeg_noise_and_views() -> None:
    keys = {name: value for name, value in EVERYTHING.items() if name != "jpeg"}
    pixels = changed(IMAGES, [3, 1, 4, 15, 9, 2], **keys)[:, 1, 7, 11]
    torch.testing.assert_close(
        pixels, torch.tensor([0.38753, 0.38494, 0.94888, 0.49249, 0.33409, 0.49078]), atol=2e-5, rtol=0
    )


def test_every_second_image_is_compressed_and_none_below_the_quality_asked_for() -> None:
    grain = np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8)
    images = torch.from_numpy(grain)[None].repeat(200, 1, 1, 1)
    recipe = make_recipe(image_size=[64, 80], jpeg=40)
    moved = augment(images, recipe, seed=0, epoch=0, samples=range(200)) - to_unit_range(images)
    errors = (255 * moved).square().mean((1, 2, 3)).sqrt()

    def error_at(quality: int) -> float:
        file = io.BytesIO()
        Image.fromarray(grain).save(file, "JPEG", quality=quality)
        return float(np.sqrt(np.square(np.asarray(Image.open(file)).astype(float) - grain).mean()))

    assert 80 < (errors < 0.1).sum() < 120
    assert 0.9 * error_at(98) < errors[errors > 0.1].min()
    assert errors.max() == pytest.approx(error_at(40), rel=0.05)


def test_every_second_image_is_noisy_and_none_more_than_asked() -> None:
    grey = torch.full((200, 60, 80, 3), 128, dtype=torch.uint8)
    torch.manual_seed(0)
    recipe = make_recipe(image_size=[60, 80], noise=0.03)
    deviations = augment(grey, recipe, seed=0, epoch=0, samples=range(200)).std((1, 2, 3))
    assert 80 < (deviations < 1e-4).sum() < 120
    assert 0.027 < deviations.max() < 0.0305


def test_noise_stays_in_range() -> None:
    torch.manual_seed(0)
    noisy = changed(torch.full((6, 30, 40, 3), 255, dtype=torch.uint8), [0, 1, 2, 3, 4, 5], noise=0.2)
    assert noisy.max() == 1
    assert noisy.min() < 0.9


def test_each_view_is_changed_in_another_way_and_the_first_as_without_views() -> None:
    recipe = make_recipe(image_size=[30, 40], **EVERYTHING)
    options: dict[str, object] = {"seed": 0, "epoch": 0, "samples": range(6)}
    plain, first, second = (
        augment(IMAGES, recipe, **options, **view)  # type: ignore[arg-type]
        for view in ({}, {"view": 0}, {"view": 1})
    )
    assert torch.equal(plain, first)
    assert ((first - second).abs().amax((1, 2, 3)) > 0.01).all()
    torch.testing.assert_close(
        augment(IMAGES[4:5], recipe, seed=0, epoch=0, samples=[4], view=1), second[4:5], atol=1e-6, rtol=0
    )


def test_the_evaluation_view_is_the_centre_of_the_image() -> None:
    image = torch.zeros(1, 60, 80, 3, dtype=torch.uint8)
    image[:, 15:45, 20:60] = 255
    view = evaluation_view(image, make_recipe(image_size=[60, 80], eval_zoom=2.0, eval_size=[24, 32]))
    assert view.shape == (1, 3, 24, 32)
    assert view.min() > 1 - 1e-6
    whole = evaluation_view(image, make_recipe(image_size=[60, 80]))
    torch.testing.assert_close(whole, to_unit_range(image))


def test_the_sampling_grid_is_that_of_affine_grid() -> None:
    theta = torch.randn(5, 2, 3)
    expected = F.affine_grid(theta, [5, 3, 11, 8], align_corners=False)
    torch.testing.assert_close(_sampling_grid(theta, 11, 8), expected, atol=1e-5, rtol=1e-5)
