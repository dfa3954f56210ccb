"""Layouts of other collections on drawn folders: what maps, what has no counterpart, what is refused."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from conftest import ROOT
from lesionwise import diagnoses
from lesionwise.data.dataset import read_dataset
from lesionwise.errors import DataError, FindingsError
from lesionwise.labels import CODES

COLLECTIONS = {
    "ISIC 2018 and 2019": diagnoses.ISIC_CHALLENGE,
    "MILK10k": diagnoses.MILK10K,
    "ISIC archive": diagnoses.ISIC_ARCHIVE,
    "DERM12345": diagnoses.DERM12345,
    "PH2": diagnoses.PH2,
    "derm7pt": diagnoses.DERM7PT,
    "PAD-UFES-20": diagnoses.PAD_UFES_20,
}


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), (180, 120, 100)).save(path)


def write_ph2(folder: Path) -> Path:
    lines = ["||   Name   ||   Histological Diagnosis ||  Clinical Diagnosis || Asymmetry || Colors  ||"]
    for name, code in (("IMD003", 0), ("IMD009", 1), ("IMD058", 2)):
        lines.append(f"|| {name} ||                        ||                  {code} ||         0 ||  4  ||")
        case = folder / "PH2 Dataset images" / name
        draw(case / f"{name}_Dermoscopic_Image" / f"{name}.bmp")
        draw(case / f"{name}_lesion" / f"{name}_lesion.bmp")
    (folder / "PH2_dataset.txt").write_text("\n".join([*lines, "", "Legends", "Clinical Diagnosis: 0 - …"]))
    return folder


def write_derm7pt(folder: Path) -> Path:
    rows = [
        ("1", "basal cell carcinoma", "NEL/NEL025.jpg", "NEL/NEL027.jpg"),
        ("2", "Melanoma (in situ)", "AAL/A01.jpg", "AAL/A02.jpg"),
        ("3", "lentigo", "FAL/F01.jpg", "FAL/F02.jpg"),
        ("4", "melanoma metastasis", "GAL/G01.jpg", "GAL/G02.jpg"),
    ]
    meta = pd.DataFrame(rows, columns=["case_num", "diagnosis", "clinic", "derm"])
    meta["sex"], meta["location"] = "female", "back"
    (folder / "meta").mkdir(parents=True)
    meta.to_csv(folder / "meta" / "meta.csv", index=False)
    for name in (*meta["clinic"], *meta["derm"]):
        draw(folder / "images" / name)
    return folder


def write_pad(folder: Path) -> Path:
    rows = [
        ("PAT_1", "10", "ACK", "PAT_1_10_1.png", "True"),
        ("PAT_1", "10", "ACK", "PAT_1_10_2.png", "True"),
        ("PAT_2", "10", "SEK", "PAT_2_10_1.png", "False"),
        ("PAT_3", "11", "SCC", "PAT_3_11_1.png", "True"),
    ]
    meta = pd.DataFrame(rows, columns=["patient_id", "lesion_id", "diagnostic", "img_id", "biopsed"])
    meta["age"], meta["gender"], meta["region"] = "55", "FEMALE", "ARM"
    folder.mkdir(parents=True)
    meta.to_csv(folder / "metadata.csv", index=False)
    for part, name in enumerate(meta["img_id"]):
        draw(folder / f"imgs_part_{1 + part % 3}" / name)
    return folder


def write_isic_2019(folder: Path) -> Path:
    names = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
    truth = pd.DataFrame(
        [[f"ISIC_{row}", *(float(row == column) for column in range(9))] for row in range(9)],
        columns=["image", *names],
    )
    folder.mkdir(parents=True)
    truth.to_csv(folder / "ISIC_2019_Training_GroundTruth.csv", index=False)
    pd.DataFrame(
        {
            "image": truth["image"],
            "age_approx": "55.0",
            "anatom_site_general": "anterior torso",
            "lesion_id": [f"BCN_{row // 2}" for row in range(9)],
            "sex": "male",
        }
    ).to_csv(folder / "ISIC_2019_Training_Metadata.csv", index=False)
    for name in truth["image"]:
        draw(folder / "ISIC_2019_Training_Input" / f"{name}.jpg")
    return folder


def test_ph2_maps_both_kinds_of_nevus_and_takes_no_mask_for_an_image(tmp_path: Path) -> None:
    dataset = read_dataset(write_ph2(tmp_path / "ph2"))
    assert dataset.layout == "PH2"
    assert dataset.table["dx"].tolist() == ["nv", "nv", "mel"]
    assert dataset.table["lesion_id"].is_unique


def test_derm7pt_takes_the_dermatoscopic_image_and_leaves_out_what_has_no_counterpart(tmp_path: Path) -> None:
    dataset = read_dataset(write_derm7pt(tmp_path / "derm7pt"))
    assert dict(zip(dataset.table["image_id"], dataset.table["dx"], strict=True)) == {
        "A02": "mel",
        "NEL027": "bcc",
    }
    (finding,) = dataset.warnings
    assert finding.code == "D008"
    assert "1 of lentigo, 1 of melanoma metastasis" in finding.message
    assert finding.ids == ("F02", "G02")


def test_pad_ufes_20_joins_patient_and_lesion_and_says_that_it_is_not_dermatoscopic(tmp_path: Path) -> None:
    dataset = read_dataset(write_pad(tmp_path / "pad"))
    assert dataset.table["lesion_id"].tolist() == ["PAT_1_10", "PAT_1_10", "PAT_2_10"]
    assert dataset.table["dx_type"].tolist() == ["histo", "histo", "consensus"]
    assert dataset.table["sex"].tolist() == ["female"] * 3
    assert "not dermatoscopic" in dataset.notes[0]
    assert "1 of SCC" in dataset.warnings[0].message


def test_isic_2019_leaves_out_carcinoma_and_unknown_and_reads_its_metadata(tmp_path: Path) -> None:
    dataset = read_dataset(write_isic_2019(tmp_path / "isic"))
    assert sorted(dataset.table["dx"]) == sorted(CODES)
    assert dataset.table["lesion_id"].tolist()[:2] == ["BCN_0", "BCN_0"]
    assert dataset.table["age"].eq(55).all()
    assert "1 of SCC, 1 of UNK" in dataset.warnings[0].message
    assert "contains HAM10000" in dataset.notes[0]


def test_a_missing_lesion_id_of_isic_2019_is_a_finding_with_its_row(tmp_path: Path) -> None:
    folder = write_isic_2019(tmp_path / "isic")
    path = folder / "ISIC_2019_Training_Metadata.csv"
    table = pd.read_csv(path)
    table.loc[2, "lesion_id"] = None
    table.to_csv(path, index=False)
    with pytest.raises(FindingsError, match=r"D002.*Rows: 4\."):
        read_dataset(folder)
    (folder / "lesions.csv").write_text("image_id,lesion_id\nISIC_2,mine\n")
    assert "mine" in set(read_dataset(folder).table["lesion_id"])


def test_the_isic_2018_test_set_of_dataverse_has_the_columns_of_ham10000(tmp_path: Path) -> None:
    rows = [("HAM_1", "ISIC_0034524", "nv", "follow_up", "40.0", "female", "back", "vidir_modern")]
    columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization", "dataset"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "ISIC2018_Task3_Test_GroundTruth.csv", index=False)
    draw(tmp_path / "ISIC2018_Task3_Test_Images" / "ISIC_0034524.jpg")
    dataset = read_dataset(tmp_path)
    assert dataset.table["lesion_id"].tolist() == ["HAM_1"]
    assert "dataset" not in dataset.table


def test_two_truths_in_one_folder_are_not_chosen_between(tmp_path: Path) -> None:
    folder = write_isic_2019(tmp_path / "isic")
    (folder / "ISIC2018_Task3_Test_GroundTruth.csv").write_text("image,MEL\nISIC_1,1.0\n")
    with pytest.raises(DataError, match=r"expected one part .* found ISIC2018_Task3_Test and ISIC_2019"):
        read_dataset(folder)


def test_a_diagnosis_that_no_map_knows_is_a_finding_and_not_left_out(tmp_path: Path) -> None:
    folder = write_pad(tmp_path / "pad")
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace("SEK", "WART"))
    with pytest.raises(FindingsError, match=r"D004.*'WART'"):
        read_dataset(folder)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_every_name_of_a_map_is_in_the_documentation(collection: str) -> None:
    documented = (ROOT / "docs/data.md").read_text()
    section = documented.partition(f"### {collection}\n")[2].partition("\n### ")[0]
    for name, code in COLLECTIONS[collection].items():
        assert code is None or code in CODES
        line = next(row for row in section.splitlines() if row.startswith(f"| {code or 'no counterpart'} |"))
        assert f"`{name}`" in line


_MELANOMA = ("Malignant", "Malignant melanocytic proliferations (Melanoma)")
_NEVUS = ("Benign", "Benign melanocytic proliferations")


def write_archive(folder: Path, levels: Iterable[tuple[str, str, str]]) -> Path:
    """Write a folder with one image for each triple of levels."""
    table = pd.DataFrame(list(levels), columns=["diagnosis_1", "diagnosis_2", "diagnosis_3"])
    ids = [f"ISIC_{row:07d}" for row in range(len(table))]
    for name in ids:
        draw(folder / f"{name}.jpg")
    table.assign(isic_id=ids, lesion_id=ids).to_csv(folder / "metadata.csv", index=False)
    return folder


def test_names_that_the_archive_gives_to_its_collections_are_known(tmp_path: Path) -> None:
    expected = {
        (*_MELANOMA, "Melanoma, NOS"): "mel",
        ("Benign", "Benign epidermal proliferations", "Pigmented benign keratosis"): "bkl",
        ("Benign", "Benign soft tissue proliferations - Vascular", ""): "vasc",
        (*_NEVUS, "Nevus"): "nv",
        (*_NEVUS, "Blue nevus"): "nv",
    }
    dataset = read_dataset(write_archive(tmp_path / "archive", expected))
    assert dataset.table["dx"].tolist() == list(expected.values())


@pytest.mark.parametrize("name", ["Melanoma of a new kind", "New kind", ""])
def test_an_unknown_name_of_a_melanoma_is_an_error_and_not_left_out(tmp_path: Path, name: str) -> None:
    folder = write_archive(tmp_path / "archive", [(*_NEVUS, "Nevus"), (*_MELANOMA, name)])
    with pytest.raises(FindingsError, match=rf"D004.*\(melanoma\).*{name.lower()}"):
        read_dataset(folder)


def test_an_unknown_name_of_a_melanoma_in_an_old_table_is_an_error_too(tmp_path: Path) -> None:
    draw(tmp_path / "ISIC_0000001.jpg")
    (tmp_path / "metadata.csv").write_text(
        "isic_id,lesion_id,diagnosis\nISIC_0000001,IL_1,melanoma of a new kind\n"
    )
    with pytest.raises(FindingsError, match=r"D004.*melanoma of a new kind"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("change", [str.upper, str.title])
@pytest.mark.parametrize("collection", ["derm7pt", "pad", "archive"])
def test_columns_of_a_collection_may_be_in_any_case(
    tmp_path: Path, collection: str, change: Callable[[str], str]
) -> None:
    write: dict[str, Callable[[Path], Path]] = {
        "derm7pt": write_derm7pt,
        "pad": write_pad,
        "archive": partial(write_archive, levels=[(*_NEVUS, "Nevus")]),
    }
    folder = write[collection](tmp_path / collection)
    expected = read_dataset(folder).table
    (path,) = folder.rglob("*.csv")
    header, rows = path.read_text().split("\n", 1)
    path.write_text(f"{change(header)}\n{rows}")
    pd.testing.assert_frame_equal(read_dataset(folder).table, expected)
