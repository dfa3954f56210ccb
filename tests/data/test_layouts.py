from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from conftest import WriteKaggle
from lesionwise.data.dataset import read_dataset
from lesionwise.data.layouts import read_listing
from lesionwise.errors import DataError, FindingsError
from lesionwise.labels import CODES


def to_isic(kaggle: Path, folder: Path) -> Path:
    """Lay the images of a Kaggle folder out as the ISIC 2018 challenge does."""
    (folder / "truth").mkdir(parents=True)
    (kaggle / "HAM10000_images_part_1").rename(folder / "ISIC2018_Task3_Training_Input")
    table = pd.read_csv(kaggle / "HAM10000_metadata.csv")
    hot = pd.DataFrame({code.upper(): (table["dx"] == code).astype(float) for code in reversed(CODES)})
    hot.insert(0, "image", table["image_id"])
    hot.to_csv(folder / "truth" / "ISIC2018_Task3_Training_GroundTruth.csv", index=False)
    groups = pd.DataFrame(
        {
            "image": table["image_id"],
            "lesion_id": table["lesion_id"],
            "diagnosis_confirm_type": "serial imaging showing no change",
        }
    )
    groups.to_csv(folder / "ISIC2018_Task3_Training_LesionGroupings.csv", index=False)
    return folder


def test_the_isic_layout_gives_the_same_lesions_and_diagnoses_as_kaggle(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    kaggle = write_kaggle(tmp_path / "kaggle")
    expected = read_dataset(kaggle).table[["image_id", "lesion_id", "dx"]]
    found = read_dataset(to_isic(kaggle, tmp_path / "isic"))
    pd.testing.assert_frame_equal(found.table[["image_id", "lesion_id", "dx"]], expected)
    assert found.layout == "isic"
    assert set(found.table["dx_type"]) == {"follow_up"}


def test_isic_truth_without_lesion_groupings_is_refused_with_the_remedy(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = to_isic(write_kaggle(tmp_path / "kaggle"), tmp_path / "isic")
    (folder / "ISIC2018_Task3_Training_LesionGroupings.csv").unlink()
    with pytest.raises(FindingsError, match=r"D001.*lesion_id is missing.*LesionGroupings\.csv"):
        read_dataset(folder)


def test_the_lower_case_twin_of_a_kaggle_folder_is_passed_over(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = write_kaggle(tmp_path / "data")
    twin = folder / "ham10000_images_part_1"
    twin.mkdir(exist_ok=True)  # it exists where names ignore case
    for image in list((folder / "HAM10000_images_part_1").iterdir())[:3]:
        (twin / image.name).write_bytes(image.read_bytes())
    listing = read_listing(folder)
    assert {path.parent.name for path in listing.images.values()} == {"HAM10000_images_part_1"}


def test_a_folder_of_no_known_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected HAM10000_metadata\.csv"):
        read_listing(tmp_path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a data folder but found none"):
        read_listing(tmp_path / "nowhere")


def test_a_metadata_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "HAM10000_metadata.csv").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="cannot be read as a table: expected text in UTF-8"):
        read_listing(tmp_path)


def test_an_isic_row_that_is_not_one_hot_is_a_finding(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = to_isic(write_kaggle(tmp_path / "kaggle"), tmp_path / "isic")
    truth = folder / "truth" / "ISIC2018_Task3_Training_GroundTruth.csv"
    table = pd.read_csv(truth)
    table.loc[4, "MEL"] = table.loc[4, "NV"] = 1.0
    table.to_csv(truth, index=False)
    with pytest.raises(FindingsError, match=r"D002.*Rows: 6\."):
        read_dataset(folder)


def test_names_of_a_users_table_are_no_formulas(tmp_path: Path) -> None:
    rows = ["image_id,lesion_id,dx"]
    for number, name in enumerate(("=1+1", "@SUM(1)", "-a", "-12")):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        rows.append(f"{name},={number},nv")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    found = read_dataset(tmp_path)
    assert set(found.table["image_id"]) == {"'=1+1", "'@SUM(1)", "'-a", "-12"}
    assert set(found.table["lesion_id"]) == {"'=0", "'=1", "'=2", "'=3"}
    assert all(path.is_file() for path in found.paths)


def test_an_empty_isic_row_is_a_finding_with_its_line(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = to_isic(write_kaggle(tmp_path / "kaggle"), tmp_path / "isic")
    truth = folder / "truth" / "ISIC2018_Task3_Training_GroundTruth.csv"
    lines = truth.read_text().splitlines()
    lines[5] = lines[5].partition(",")[0] + "," * len(CODES)
    truth.write_text("\n".join([*lines, ""]))
    with pytest.raises(FindingsError, match=r"D002.*Rows: 6\."):
        read_dataset(folder)


def test_hidden_folders_are_not_searched(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "table.csv").write_text("image_id,lesion_id,dx\na,1,nv\n")
    hidden = tmp_path / ".ipynb_checkpoints"
    hidden.mkdir()
    Image.new("RGB", (9, 9)).save(hidden / "a.png")
    (hidden / "table.csv").write_text("file_name,lesion_id,dx\na,1,mel\n")
    assert read_dataset(tmp_path).table["dx"].tolist() == ["nv"]
