import io

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.harmless import HARMLESS, SAVED, change

PIXELS = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)


def changed(name: str) -> np.ndarray:
    found = change(PIXELS, name, image_id="a")
    return np.asarray(Image.open(io.BytesIO(found)) if isinstance(found, bytes) else found)


@pytest.mark.parametrize("name", HARMLESS)
def test_every_change_is_the_same_again_and_leaves_the_picture_itself_alone(name: str) -> None:
    before = PIXELS.copy()
    np.testing.assert_array_equal(changed(name), changed(name))
    np.testing.assert_array_equal(PIXELS, before)
    assert changed(name).dtype == np.uint8


@pytest.mark.parametrize("quality", [95, 90, 75])
def test_saving_gives_the_file_that_pillow_writes(quality: int) -> None:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=quality)
    assert change(PIXELS, f"JPEG {quality}", image_id="a") == file.getvalue()
    assert f"JPEG {quality}" in SAVED


@pytest.mark.parametrize("deviation", [1, 2])
def test_noise_has_the_deviation_it_is_named_by_and_belongs_to_its_image(deviation: int) -> None:
    grey = np.full((200, 300, 3), 128, np.uint8)
    first, second = (change(grey, f"noise {deviation}", image_id=name) for name in "ab")
    assert np.std(np.asarray(first, float)) == pytest.approx(np.hypot(deviation, 12**-0.5), rel=0.02)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("name", "by"), [("1 pixel", 1), ("2 pixels", 2), ("3 pixels", 3)])
def test_a_picture_moves_by_whole_pixels_and_repeats_its_edge(name: str, by: int) -> None:
    moved = changed(name)
    np.testing.assert_array_equal(moved[:, by:], PIXELS[:, :-by])
    np.testing.assert_array_equal(moved[:, :by], PIXELS[:, :1].repeat(by, axis=1))


def test_mirrors_and_turns_lose_nothing() -> None:
    np.testing.assert_array_equal(changed("mirrored")[:, ::-1], PIXELS)
    np.testing.assert_array_equal(changed("upside down")[::-1], PIXELS)
    for quarters, name in enumerate(("turned 90", "turned 180", "turned 270"), start=1):
        np.testing.assert_array_equal(np.rot90(changed(name), -quarters), PIXELS)


def test_sizes_are_those_of_their_names() -> None:
    assert changed("size 0.9").shape == (40, 54, 3)
    assert changed("size 1.1").shape == (50, 66, 3)
