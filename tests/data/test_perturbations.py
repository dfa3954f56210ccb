import io

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.images import read_image
from lesionwise.data.perturbations import HARMLESS, PERTURBATIONS, SAVED, STRENGTHS, change, perturb
from lesionwise.data.phantom import write_phantom


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("phantom") / "data"
    write_phantom(folder, lesions_per_class=1, seed=0)
    return read_image(next(iter(sorted(folder.rglob("*.jpg")))), (150, 200))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_change_grows_with_its_strength_and_is_the_same_again(name: str, photograph: np.ndarray) -> None:
    before = photograph.copy()
    changed = [perturb(photograph, name, strength, image_id="a") for strength in STRENGTHS]
    assert np.array_equal(photograph, before)
    assert all(pixels.shape == photograph.shape and pixels.dtype == np.uint8 for pixels in changed)
    far = [np.abs(pixels.astype(float) - photograph).mean() for pixels in changed]
    assert 0 < far[0] < far[2]
    if name not in {"rotation", "hair", "bubbles"}:  # a lesion turned twice may look more like itself
        assert far == sorted(far)
    assert np.array_equal(changed[1], perturb(photograph, name, 2, image_id="a"))


def test_the_image_and_the_seed_decide_which_way_a_change_goes(photograph: np.ndarray) -> None:
    ways = {perturb(photograph, "brightness", 2, image_id=str(number)).mean() > photograph.mean()
            for number in range(12)}  # fmt: skip
    assert ways == {True, False}
    first, second = (perturb(photograph, "noise", 1, image_id="a", seed=seed) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", ["zoom", "rotation"])
def test_moving_leaves_no_black_corner(name: str) -> None:
    even = np.full((45, 60, 3), 170, np.uint8)
    for strength in STRENGTHS:
        for number in range(4):
            assert (perturb(even, name, strength, image_id=str(number)) == 170).all()


def test_unknown_changes_are_refused(photograph: np.ndarray) -> None:
    for name, strength in (("fog", 1), ("blur", 4)):
        with pytest.raises(ValueError, match="Expected one of"):
            perturb(photograph, name, strength, image_id="a")


def test_jpegs_are_those_that_pillow_makes(photograph: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(photograph).save(file, "JPEG", quality=40)
    np.testing.assert_array_equal(perturb(photograph, "JPEG", 1, image_id="a"), np.asarray(Image.open(file)))


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
