import re

import numpy as np
import pandas as pd
import pytest

from lesionwise.explore.abcd import MASK_MEASURES
from lesionwise.explore.feature_map import FeatureMap
from lesionwise.explore.pixels import COLOR_MEASURES
from lesionwise.explore.remarks import explained_by_diagnosis, main_remarks


def table(mel: int, nv: int, **columns: object) -> pd.DataFrame:
    count = mel + nv
    base = {
        "image_id": [f"i{row}" for row in range(count)],
        "lesion_id": [f"l{row}" for row in range(count)],
        "dx": ["mel"] * mel + ["nv"] * nv,
        "dx_type": "histo",
        "age": 50.0,
        "sex": "female",
        "localization": "back",
    }
    return pd.DataFrame({**base, **columns})


def measures(count: int, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = {name: rng.normal(size=count) for name in (*COLOR_MEASURES, *MASK_MEASURES)}
    return pd.DataFrame({**base, **columns})


def text(data: pd.DataFrame, pixels: pd.DataFrame, mapped: FeatureMap | None = None) -> str:
    said = main_remarks(data, pixels, mapped, features="colour")
    return "\n".join(said).replace("\u00a0", " ")


def test_the_part_explained_by_diagnosis_is_one_without_noise_and_small_without_a_difference() -> None:
    dx = np.repeat(["mel", "nv"], 200)
    assert explained_by_diagnosis(np.repeat([1.0, 2.0], 200), dx) == pytest.approx(1)
    assert explained_by_diagnosis(np.random.default_rng(0).normal(size=400), dx) < 0.02


def test_imbalance_and_siblings_are_told_with_their_numbers() -> None:
    data = table(30, 90, lesion_id=[f"l{row // 2}" for row in range(30)] + [f"n{row}" for row in range(90)])
    said = text(data, measures(120))
    assert "75 % of 120 images are nv (melanocytic nevus), 3 times as many as mel" in said
    assert "120 images show 105 lesions: 25 % of the images share their lesion with another" in said
    assert "(100 % of the mel images)" in said


def test_a_way_of_confirmation_that_gives_a_diagnosis_away_is_named() -> None:
    said = text(table(40, 60, dx_type=["histo"] * 70 + ["follow_up"] * 30), measures(100))
    assert "all 30 follow_up images are nv" in said
    assert "histo images" not in said


def test_age_sex_site_and_gaps_are_told() -> None:
    data = table(
        50,
        50,
        age=[70.0] * 50 + [40.0] * 49 + [np.nan],
        sex=["male"] * 40 + ["female"] * 60,
        localization=["face"] * 40 + ["back"] * 60,
    )
    said = text(data, measures(100))
    assert "40 years for nv and 70 for mel" in said
    assert "40 % of the images with a known sex are of men: 0 % for nv, 80 % for mel" in said
    assert "80 % of mel images are of the face, against 40 % of all" in said
    assert "Images without a value: age 1." in said


def test_the_measure_that_separates_melanoma_best_is_named() -> None:
    said = text(table(50, 50), measures(100, border=[2.0] * 50 + [1.0] * 50))
    assert "irregularity of the border separates melanoma from nevus best" in said
    assert "is above the nevus image in 100 % of pairs" in said


def test_without_masks_siblings_or_differences_nothing_is_said_of_them() -> None:
    pixels = measures(100)
    pixels[list(MASK_MEASURES)] = np.nan
    said = text(table(50, 50), pixels)
    assert not re.search("masks|share|confirmed|Age|Site|Missing|sex", said)


def test_the_map_is_told_with_its_chance() -> None:
    mapped = FeatureMap(np.zeros((2, 2), np.float32), (0.3, 0.2), 0.41, 1 / 7)
    assert "in 41 % of cases" in text(table(30, 30), measures(60), mapped)
    assert "chance gives 14 %" in text(table(30, 30), measures(60), mapped)
