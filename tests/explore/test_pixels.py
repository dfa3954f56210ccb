import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import NotedProgress
from lesionwise.data.skin_tone import rgb_to_lab
from lesionwise.execution import Execution
from lesionwise.explore.feature_map import map_features
from lesionwise.explore.figures import sample_rows, thumbnail_sheet
from lesionwise.explore.pixels import ClassSums, color_measures, colour_texture_features, in_threads


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [  # values of the CIE formulas, as in every published table for sRGB and D65
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_lab_values_are_those_of_the_tables(rgb: tuple[int, ...], lab: tuple[float, ...]) -> None:
    assert rgb_to_lab(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(lab, abs=0.05)


def test_a_redder_image_is_redder_and_a_darker_one_darker() -> None:
    images = np.full((3, 32, 32, 3), 150, np.uint8)
    images[1, ..., 0] = 200
    images[2] = 60
    found = color_measures(rgb_to_lab(images))
    assert found["redness"][1] > found["redness"][0] + 5
    assert found["brightness"][2] < found["brightness"][0] - 20
    assert found["contrast"] == pytest.approx([0, 0, 0], abs=1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_class_means_and_deviations_are_those_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, y = rng.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 9)
    sums = ClassSums((8, 8))
    sums.add(pixels[:4], y[:4])
    sums.add(pixels[4:], y[4:])
    for index in np.unique(y):
        own = pixels[y == index].astype(float)
        assert np.allclose(sums.mean()[index], own.mean(axis=0), atol=1e-3)
        assert np.allclose(sums.deviation()[index], own.std(axis=0).mean(axis=2), atol=1e-3)


def test_features_tell_place_and_grain_of_a_picture_apart() -> None:
    rng = np.random.default_rng(0)
    flat, grain = np.full((48, 64, 3), 150, np.uint8), rng.integers(100, 200, (48, 64, 3), dtype=np.uint8)
    left, right = flat.copy(), flat.copy()
    left[:, :20], right[:, -20:] = 40, 40
    flat_f, grain_f, left_f, right_f = colour_texture_features(
        rgb_to_lab(np.stack([flat, grain, left, right]))
    )
    assert flat_f.shape == (60,)
    assert grain_f[-6:].min() > 2 > flat_f[-6:].max()
    assert np.abs(left_f - right_f).max() > 10


def test_every_row_is_worked_on_once() -> None:
    seen = np.zeros(1000, int)

    def work(part: slice) -> None:
        seen[part] += 1

    noted = NotedProgress()
    in_threads(work, 1000, Execution(workers=3, progress=noted))
    assert (seen == 1).all()
    assert noted.work[-1] == ("looking at images", 1000, 1000)


def test_the_map_finds_the_two_directions_that_images_differ_in() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 40)
    features = (np.eye(12)[groups] * 8 + rng.normal(size=(120, 12))).astype(np.float32)
    lesion = np.arange(120)
    mapped = map_features(features, groups, lesion)
    centres = np.stack([mapped.points[groups == group].mean(axis=0) for group in range(3)])
    assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 2
    assert mapped.agreement > 0.95
    assert mapped.chance == pytest.approx(1 / 3)
    assert np.array_equal(mapped.points, map_features(features, groups, lesion).points)


def test_neighbours_of_the_same_lesion_do_not_count() -> None:
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(60, 8)), 2, axis=0).astype(np.float32)
    y = np.repeat(rng.integers(0, 2, 60), 2)
    assert map_features(features, y, np.arange(120)).agreement == 1
    assert map_features(features, y, np.repeat(np.arange(60), 2)).agreement < 0.8


def test_samples_are_of_different_lesions_and_the_same_each_time() -> None:
    dx, lesion = np.array(["mel"] * 8 + ["nv"] * 2), np.array(list("aabbccddee"))
    chosen = sample_rows(dx, lesion, count=3)
    assert len(set(lesion[chosen["mel"]])) == 3
    assert chosen["nv"] in ([8], [9])
    assert chosen["df"] == []
    assert chosen == sample_rows(dx, lesion, count=3)


def test_a_sheet_has_room_for_all_thumbnails() -> None:
    pixels = np.full((7, 30, 40, 3), 9, np.uint8)
    address, across = thumbnail_sheet(pixels, [0, 1, 2, 3, 4])
    assert address.startswith("data:image/jpeg;base64,")
    assert 1 < across < 5
