"""Folders of one's own, hmnist files and lesions.csv: read as they are, refused where lesions are unknown."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from conftest import Lesionwise, WriteKaggle
from lesionwise.bundle.engine import load_model
from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import read_dataset
from lesionwise.data.known_lesions import (
    HAM10000_IMAGES,
    REFERENCE_SPLIT,
    known_lesions,
    reference_parts,
)
from lesionwise.data.layouts.listing import declare_own_lesions
from lesionwise.errors import DataError, FindingsError
from lesionwise.labels import CODES

HMNIST_ORDER = ("akiec", "bcc", "bkl", "df", "nv", "vasc", "mel")


def write_class_folders(folder: Path, names: dict[str, str]) -> Path:
    for image_id, dx in names.items():
        (folder / dx).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9)).save(folder / dx / f"{image_id}.png")
    return folder


def test_class_folders_without_lesions_are_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", {"a": "MEL", "b": "nv"})
    with pytest.raises(FindingsError, match=r"D001.*lesion_id is missing.*--each-image"):
        read_dataset(folder)


def test_class_folders_are_read_once_every_image_is_declared_its_own_lesion(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", {"a": "MEL", "b": "nv"})
    declare_own_lesions(folder, ["a", "b"])
    dataset = read_dataset(folder)
    assert dataset.layout == "class folders"
    assert dataset.table[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [
        ["a", "a", "mel"],
        ["b", "b", "nv"],
    ]
    with pytest.raises(DataError, match="exists already"):
        declare_own_lesions(folder, ["a"])


def test_class_folders_of_ham10000_need_no_lesions_because_they_are_known(tmp_path: Path) -> None:
    known = known_lesions().head(3)
    folder = write_class_folders(tmp_path / "data", dict(zip(known["image_id"], known["dx"], strict=True)))
    assert read_dataset(folder).table["lesion_id"].tolist() == known["lesion_id"].tolist()


SIBLINGS = (
    known_lesions().loc[lambda known: known["lesion_id"].duplicated(keep=False)].sort_values("lesion_id")
)


def test_images_of_ham10000_keep_their_lesion_beside_any_other_image(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    two = SIBLINGS.head(2)
    folder = write_class_folders(
        tmp_path / "data", {**dict(zip(two["image_id"], two["dx"], strict=True)), "own": "nv"}
    )
    with pytest.raises(FindingsError, match=r"D002.*Rows: 4\..*--each-image"):
        read_dataset(folder)
    assert lesionwise("data", "lesions", folder, "--each-image").code == 0
    lesion = read_dataset(folder).table.set_index("image_id")["lesion_id"].to_dict()
    assert lesion == {**dict(zip(two["image_id"], two["lesion_id"], strict=True)), "own": "own"}


def test_known_siblings_are_not_declared_lesions_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="show one lesion of HAM10000"):
        declare_own_lesions(tmp_path, [*SIBLINGS["image_id"].head(2), "own"])
    assert not (tmp_path / "lesions.csv").exists()


def test_lesions_of_ham10000_are_not_lent_to_a_folder_that_disagrees_on_a_diagnosis(tmp_path: Path) -> None:
    known = known_lesions().head(3)
    names = dict(zip(known["image_id"], known["dx"], strict=True))
    first = known["image_id"].iloc[0]
    folder = write_class_folders(tmp_path / "data", names | {first: "df"})
    with pytest.raises(FindingsError, match="lesion_id is missing"):
        read_dataset(folder)


def test_images_outside_the_seven_folders_are_a_fault(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", {"a": "mel", "b": "healthy"})
    with pytest.raises(DataError, match="found some in healthy"):
        read_dataset(folder)


def test_a_file_name_in_two_class_folders_is_a_fault(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "data", {"a": "mel"})
    write_class_folders(folder, {"a": "nv"})
    with pytest.raises(DataError, match="a is in more than one folder"):
        read_dataset(folder)


def test_a_csv_beside_images_is_read(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data")
    expected = read_dataset(folder).table
    (folder / "HAM10000_metadata.csv").rename(folder / "mine.csv")
    dataset = read_dataset(folder)
    assert dataset.layout == "csv"
    pd.testing.assert_frame_equal(dataset.table, expected)


def test_two_files_of_one_id_are_not_chosen_between(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data", lesions=1)
    path = next(folder.rglob("*.jpg"))
    (folder / "small").mkdir()
    Image.new("RGB", (12, 9)).save(folder / "small" / f"{path.stem}.png")
    with pytest.raises(DataError, match=rf"found {path.stem}\.jpg in .* and {path.stem}\.png in .*Keep one"):
        read_dataset(folder)


def test_two_csv_files_with_images_are_not_chosen_between(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"image_id,dx,lesion_id\n1,mel,{name}\n")
    with pytest.raises(DataError, match=r"found a\.csv, b\.csv"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,lesion\n1,2\n", "expected the columns image_id and lesion_id"),
        ("image_id,lesion_id\na,1\na,2\n", "a is in more than one row"),
    ],
)
def test_lesions_that_cannot_be_used_are_refused(tmp_path: Path, content: str, message: str) -> None:
    folder = write_class_folders(tmp_path / "data", {"a": "mel"})
    (folder / "lesions.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_dataset(folder)


def write_hmnist(folder: Path, side: int, channels: int) -> tuple[Path, np.ndarray]:
    dx = [code for code in CODES for _ in range(2)]
    pixels = np.random.default_rng(0).integers(0, 256, (len(dx), side * side * channels))
    values = pd.DataFrame(pixels, columns=[f"pixel{number:04d}" for number in range(pixels.shape[1])])
    values["label"] = [HMNIST_ORDER.index(code) for code in dx]
    folder.mkdir(parents=True, exist_ok=True)
    values.to_csv(folder / f"hmnist_{side}_{side}_{'RGB' if channels == 3 else 'L'}.csv", index=False)
    table = pd.DataFrame({"lesion_id": dx, "image_id": [f"I{row:02d}" for row in range(len(dx))], "dx": dx})
    table.to_csv(folder / "HAM10000_metadata.csv", index=False)
    return folder, pixels.astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_hmnist_gives_its_pixels_with_the_ids_of_the_metadata(tmp_path: Path, channels: int) -> None:
    folder, pixels = write_hmnist(tmp_path / "data", 28, channels)
    dataset = read_dataset(folder)
    assert dataset.layout == "hmnist"
    cache = open_cache(dataset, (28, 28))
    grey = pixels.reshape(-1, 28, 28, channels)
    np.testing.assert_array_equal(cache.pixels, np.broadcast_to(grey, (len(pixels), 28, 28, 3)))


def test_hmnist_takes_the_largest_of_several_and_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    folder, _ = write_hmnist(tmp_path / "data", 8, 3)
    write_hmnist(folder, 28, 3)
    before = sorted(path.name for path in folder.rglob("*"))
    dataset = read_dataset(folder)
    with Image.open(dataset.paths[0]) as image:
        assert image.size == (28, 28)
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_hmnist_without_metadata_is_refused(tmp_path: Path) -> None:
    folder, _ = write_hmnist(tmp_path / "data", 8, 3)
    (folder / "HAM10000_metadata.csv").unlink()
    with pytest.raises(DataError, match="has no image ids"):
        read_dataset(folder)


def test_hmnist_that_disagrees_with_its_metadata_is_refused(tmp_path: Path) -> None:
    folder, _ = write_hmnist(tmp_path / "data", 8, 1)
    path = folder / "HAM10000_metadata.csv"
    pd.read_csv(path).sort_values("dx", ascending=False).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"row 2 is akiec but HAM10000_metadata\.csv says vasc"):
        read_dataset(folder)


def test_the_table_of_known_lesions_is_that_of_ham10000() -> None:
    known = known_lesions()
    assert (len(known), known["lesion_id"].nunique()) == (HAM10000_IMAGES, 7_470)
    assert known["dx"].value_counts()["nv"] == 6705
    assert known.groupby("lesion_id")["dx"].nunique().max() == 1


def test_the_parts_of_the_reference_split_are_those_of_its_file() -> None:
    split = pd.read_csv(Path(__file__).parents[2] / "benchmarks" / "reference_split.csv", dtype=str)
    assert reference_parts() == dict(zip(split["image_id"], split["part"], strict=True))
    provenance = load_model().description.provenance
    assert provenance is not None
    assert provenance.split_fingerprint == REFERENCE_SPLIT


def test_the_table_of_known_lesions_agrees_with_the_real_metadata(ham10000: Path) -> None:
    table = read_dataset(ham10000).table
    pd.testing.assert_frame_equal(table[["image_id", "lesion_id", "dx"]], known_lesions())
