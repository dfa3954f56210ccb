"""Phantoms: the set is laid out like HAM10000, repeatable, whole, and not solved by colour."""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lesionwise.data.phantom import Imbalance, diagnoses, write_phantom
from lesionwise.data.phantom.canvas import Canvas, outline, traced_area
from lesionwise.data.phantom.fields import ramp, smooth_noise
from lesionwise.data.phantom.plan import CLINICS, LARGEST_RATIO, count_lesions, plan_lesions
from lesionwise.errors import RunError
from lesionwise.labels import CODES, MALIGNANT

Row = Mapping[str, str]


@dataclass(frozen=True)
class Phantom:
    """One written set, read with nothing of the package."""

    folder: Path
    rows: list[Row]
    images: dict[str, Path]
    masks: dict[str, bytes]

    def mask(self, image_id: str) -> NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(self.masks[f"{image_id}_segmentation.png"])))

    def image(self, image_id: str) -> NDArray[np.uint8]:
        return np.asarray(Image.open(self.images[image_id]))


def read_phantom(folder: Path) -> Phantom:
    with (folder / "HAM10000_metadata.csv").open(newline="", encoding="utf-8") as file:
        rows: list[Row] = list(csv.DictReader(file))
    with zipfile.ZipFile(folder / "HAM10000_segmentations_lesion_tschandl.zip") as archive:
        masks = {name: archive.read(name) for name in archive.namelist()}
    images = {path.stem: path for path in folder.glob("HAM10000_images_part_?/*.jpg")}
    return Phantom(folder, rows, images, masks)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    out = tmp_path_factory.mktemp("phantom") / "set"
    return read_phantom(write_phantom(out, lesions_per_class=5, seed=3, workers=1))


def test_the_table_has_the_columns_of_ham10000(phantom: Phantom) -> None:
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
    assert list(phantom.rows[0]) == columns


def test_every_row_has_its_image_and_its_mask_and_nothing_is_left_over(phantom: Phantom) -> None:
    ids = [row["image_id"] for row in phantom.rows]
    assert len(set(ids)) == len(ids)
    assert set(phantom.images) == set(ids)
    assert set(phantom.masks) == {f"{image_id}_segmentation.png" for image_id in ids}


def test_ids_are_those_of_phantoms(phantom: Phantom) -> None:
    for row in phantom.rows:
        assert row["image_id"].startswith("PHANTOM_")
        assert row["lesion_id"].startswith("PHAN_")


def test_the_two_image_folders_hold_half_of_the_images_each(phantom: Phantom) -> None:
    parts = Counter(path.parent.name for path in phantom.images.values())
    assert set(parts) == {"HAM10000_images_part_1", "HAM10000_images_part_2"}
    assert abs(parts["HAM10000_images_part_1"] - parts["HAM10000_images_part_2"]) <= 1


def test_images_are_rgb_jpegs_of_600_by_450_that_say_what_they_are(phantom: Phantom) -> None:
    for path in phantom.images.values():
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (600, 450), "RGB")
            assert b"not a photograph" in image.info["comment"]


def test_a_lesion_keeps_its_diagnosis_and_its_patient_in_all_its_photographs(phantom: Phantom) -> None:
    shared = {tuple(value for key, value in row.items() if key != "image_id") for row in phantom.rows}
    assert len(shared) == len({row["lesion_id"] for row in phantom.rows}) == 5 * len(CODES)


def test_masks_are_one_lesion_that_stands_out_from_the_skin(phantom: Phantom) -> None:
    contrasts = []
    for row in phantom.rows:
        mask, image = phantom.mask(row["image_id"]), phantom.image(row["image_id"]).astype(float)
        assert mask.shape == (450, 600)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.01 < (mask > 0).mean() < 0.7
        contrasts.append(np.abs(image[mask > 0].mean(axis=0) - image[mask == 0].mean(axis=0)).max())
    assert np.median(contrasts) > 15


def test_photographs_of_one_lesion_differ_in_view_but_not_much_in_size(phantom: Phantom) -> None:
    by_lesion: dict[str, list[str]] = {}
    for row in phantom.rows:
        by_lesion.setdefault(row["lesion_id"], []).append(row["image_id"])
    siblings = [ids for ids in by_lesion.values() if len(ids) > 1]
    assert siblings
    for first, second, *_ in siblings:
        masks = phantom.mask(first) > 0, phantom.mask(second) > 0
        assert (masks[0] != masks[1]).any()
        assert 1 / 3 < masks[0].sum() / masks[1].sum() < 3


def test_mean_colour_does_not_give_the_diagnosis_away(phantom: Phantom) -> None:
    features = []
    for row in phantom.rows:
        with Image.open(phantom.images[row["image_id"]]) as image:
            image.draft("RGB", (150, 113))
            pixels = np.asarray(image, dtype=float)
        features.append(np.concatenate((pixels.mean(axis=(0, 1)), pixels.std(axis=(0, 1)))))
    y_true = np.array([row["dx"] for row in phantom.rows])
    groups = [row["lesion_id"] for row in phantom.rows]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    y_pred = cross_val_predict(model, np.array(features), y_true, groups=groups, cv=folds)
    assert balanced_accuracy_score(y_true, y_pred) < 0.55


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path) -> None:
    alone = write_phantom(tmp_path / "alone", lesions_per_class=1, seed=5, workers=1)
    together = write_phantom(tmp_path / "together", lesions_per_class=1, seed=5, workers=2)
    assert files_of(alone) == files_of(together)


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    first = files_of(write_phantom(tmp_path / "0", lesions_per_class=1, seed=0))
    second = files_of(write_phantom(tmp_path / "1", lesions_per_class=1, seed=1))
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("dx", CODES)
def test_a_drawing_fades_out_before_the_border_of_its_canvas(dx: str) -> None:
    drawing = diagnoses.draw_lesion(dx, np.random.default_rng(8))
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        assert (drawing.transmission[edge] == 255).all()
        assert (drawing.scatter[edge] == 0).all()
        assert (drawing.area[edge] == 0).all()


@given(seed=st.integers(0, 2**32), elongation=st.floats(1.0, 1.6), lobes=st.floats(0.0, 0.22))
@settings(max_examples=20, deadline=None)
def test_an_outline_is_about_as_large_as_its_radius_says(seed: int, elongation: float, lobes: float) -> None:
    canvas = Canvas(np.random.default_rng(seed), radius=60.0)
    depth = outline(canvas, elongation=elongation, lobes=lobes, jag_px=3.0)
    assert 0.4 < traced_area(canvas, depth).sum() / (np.pi * 60.0**2) < 2.0


@given(scale_px=st.floats(1.0, 60.0), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_noise_has_its_shape_and_about_unit_spread_at_every_scale(scale_px: float, seed: int) -> None:
    noise = smooth_noise(np.random.default_rng(seed), (300, 420), scale_px)
    assert noise.shape == (300, 420)
    assert noise.dtype == np.float32
    assert 0.5 < noise.std() < 1.6


def test_a_ramp_may_rise_or_fall() -> None:
    values = np.array([0.0, 1.0, 1.5, 2.0, 3.0], dtype=np.float32)
    assert ramp(values, 1.0, 2.0).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert ramp(values, 2.0, 1.0).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]


@given(lesions_per_class=st.integers(1, 60), imbalance=st.sampled_from(["none", "ham"]))
def test_no_class_falls_below_the_number_asked_for_or_above_the_cap(
    lesions_per_class: int, imbalance: Imbalance
) -> None:
    counts = count_lesions(lesions_per_class, imbalance)
    assert tuple(counts) == CODES
    assert min(counts.values()) == lesions_per_class
    assert max(counts.values()) <= LARGEST_RATIO * lesions_per_class


def test_ham_imbalance_ranks_the_classes_as_ham10000_does() -> None:
    counts = count_lesions(12, "ham")
    assert sorted(CODES, key=counts.__getitem__) == sorted(CODES, key=lambda dx: CLINICS[dx].lesions)
    assert counts["nv"] > sum(counts[dx] for dx in CODES if dx != "nv")


def test_the_table_keeps_ham10000s_rules_and_gaps() -> None:
    lesions = plan_lesions(count_lesions(200, "none"), np.random.default_rng(0))
    ages = [lesion.age for lesion in lesions]
    assert "" in ages
    assert all(float(age) % 5 == 0 and 0 < float(age) <= 85 for age in ages if age)
    assert {lesion.sex for lesion in lesions} == {"male", "female", "unknown"}
    assert "unknown" in {lesion.localization for lesion in lesions}
    assert {lesion.dx for lesion in lesions if lesion.dx_type == "follow_up"} == {"nv"}
    assert {lesion.dx_type for lesion in lesions if lesion.dx in MALIGNANT} == {"histo"}
    assert {len(lesion.image_ids) for lesion in lesions} == {1, 2, 3, 4}


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_image_ids_are_used_once_and_do_not_sort_by_diagnosis(seed: int) -> None:
    lesions = plan_lesions(count_lesions(20, "none"), np.random.default_rng(seed))
    by_id = sorted((image_id, lesion.dx) for lesion in lesions for image_id in lesion.image_ids)
    assert len({image_id for image_id, _ in by_id}) == len(by_id)
    half = Counter(dx for _, dx in by_id[: len(by_id) // 2])
    assert set(half) == set(CODES)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        write_phantom(tmp_path, lesions_per_class=1)
    assert files_of(tmp_path) == {"mine.txt": b"mine"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        write_phantom(tmp_path / "set", lesions_per_class=1)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    assert read_phantom(write_phantom(tmp_path / "set", lesions_per_class=1)).rows


def test_nothing_stays_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("lesionwise.data.phantom.writer.take_photograph", fail)
    with pytest.raises(OSError, match="disk full"):
        write_phantom(tmp_path / "set", lesions_per_class=1, workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lesions_per_class": 0}, "`lesions_per_class` of 1 or more"),
        ({"imbalance": "heavy"}, "`imbalance` of"),
        ({"seed": -1}, "`seed` of 0 or more"),
        ({"workers": 0}, "`workers` of 1 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_phantom(tmp_path / "set", **wrong)  # type: ignore[arg-type]
