import io

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.images import read_image
from lesionwise.data.perturbations import PERTURBATIONS, STRENGTHS, perturb
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
