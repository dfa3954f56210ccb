"""Each collection with each command: audit, split, explore, check, evaluate --truth, predict --metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from conftest import Lesionwise
from data import held
from lesionwise.data.dataset import read_dataset
from lesionwise.data.metadata import encoding_of
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.labels import CODES
from serve.drawn_model import write_bundle

METADATA = {
    "kaggle": "HAM10000_metadata.csv",
    "dataverse": "HAM10000_metadata.tab",
    "isic 2018": "ISIC2018_Task3_Training_LesionGroupings.csv",
    "isic 2019": "ISIC_2019_Training_Metadata.csv",
    "MILK10k": "MILK10k_Training_Metadata.csv",
    "BCN20000": "bcn20000_metadata.csv",
    "ISIC archive": "metadata.csv",
    "imagefolder": "train/metadata.csv",
    "class folders": "lesions.csv",
    "DERM12345": "derm12345_metadata_train.tab",
    "parquet": "data/train-00000-of-00001.parquet",
    "DermaMNIST": "dermamnist.npz",
}
"""The table of each collection that says most of its images."""
TRUTH = {
    **{name: METADATA[name] for name in ("kaggle", "dataverse", "BCN20000", "ISIC archive", "parquet")},
    "isic 2018": "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv",
    "isic 2019": "ISIC_2019_Training_GroundTruth.csv",
    "DermaMNIST": "dermamnist.npz",
}
"""The table of diagnoses of each collection that has all of them in one file by image."""
NOTHING_BESIDES = ("isic 2018", "class folders", "DERM12345", "DermaMNIST")
"""Collections whose tables say nothing of age, sex and site."""
PACKED = ("parquet", "DermaMNIST")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("held")
    for name, write in held.HELD.items():
        write(root / name)
    return {name: root / name for name in held.HELD}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["audit", "split", "explore"])
@pytest.mark.parametrize("name", held.HELD)
def test_commands_of_data(
    folders: dict[str, Path], tmp_path: Path, lesionwise: Lesionwise, name: str, command: str
) -> None:
    out = tmp_path / ("split.csv" if command == "split" else "out")
    ended = lesionwise("data", command, folders[name], "--out", out)
    assert ended.code in (0, 1), ended.err
    assert out.exists()
    assert name == "class folders" or ": read " in ended.err + ended.out  # they have no table


@pytest.mark.parametrize("name", held.HELD)
def test_check_knows_the_lesions_of_a_folder(
    folders: dict[str, Path], tmp_path: Path, lesionwise: Lesionwise, name: str
) -> None:
    known = read_dataset(folders[name]).table
    twin = known["lesion_id"].duplicated(keep=False)
    one, other = known[twin].sort_values("lesion_id")["image_id"].iloc[:2]
    (tmp_path / "train.txt").write_text(f"{one}\nISIC_0027419\n")
    (tmp_path / "test.txt").write_text(f"{other}.jpg\nISIC_0025030\n")
    lists = ["--train", tmp_path / "train.txt", "--test", tmp_path / "test.txt"]
    ended = lesionwise("check", *lists, "--data", folders[name])
    assert ended.code == 1, ended.err
    assert "Of 2 test images, 2 (100.0%)" in ended.out
    assert name == "class folders" or ": read " in ended.err


def score(
    lesionwise: Lesionwise, folder: Path, truth: Path, *, by: str = "lesion"
) -> tuple[int, str, dict[str, Any]]:
    """Evaluate predictions that are right on every image of a folder, whichever it leaves out."""
    dataset = read_dataset(folder)
    left_out = [image for images in dataset.left_out.values() for image in images]
    ids = np.array([*dataset.table["image_id"], *left_out])
    likeliest = np.append(dataset.y, np.zeros(len(left_out), int))
    write_predictions(Predictions(ids, 0.93 * np.eye(7)[likeliest] + 0.01), Path("p.csv"))
    ended = lesionwise("evaluate", "p.csv", "--truth", truth, "--by", by, "--json")
    return ended.code, ended.err, json.loads(ended.out) if ended.code == 0 else {}


@pytest.mark.parametrize("name", held.HELD)
def test_a_folder_is_a_truth(folders: dict[str, Path], lesionwise: Lesionwise, name: str) -> None:
    code, err, value = score(lesionwise, folders[name], folders[name])
    dataset = read_dataset(folders[name])
    assert code == 0, err
    assert value["overall"]["accuracy"]["value"] == 1
    assert (value["images"], value["lesions"]) == (len(dataset.y), dataset.table["lesion_id"].nunique())
    assert name == "class folders" or ": read " in err
    assert not dataset.left_out or "left out, because their diagnosis is none of the seven" in err


@pytest.mark.parametrize("name", TRUTH)
def test_a_table_is_a_truth(folders: dict[str, Path], lesionwise: Lesionwise, name: str) -> None:
    code, err, value = score(lesionwise, folders[name], folders[name] / TRUTH[name], by="image")
    assert code == 0, err
    assert value["overall"]["accuracy"]["value"] == 1
    assert ": read " in err


def test_a_truth_by_lesion_is_refused_with_the_way_on(
    folders: dict[str, Path], lesionwise: Lesionwise
) -> None:
    folder = folders["MILK10k"]
    code, err, _ = score(lesionwise, folder, folder / "MILK10k_Training_GroundTruth.csv")
    assert code == 2
    assert "expected a column of image ids" in err
    assert "pass their folder" in err


@pytest.mark.parametrize("name", held.HELD)
def test_predict_with_metadata(
    folders: dict[str, Path], tmp_path: Path, lesionwise: Lesionwise, name: str
) -> None:
    model = tmp_path / "model.onnx"
    write_bundle(model, metadata=encoding_of(("age", "sex", "localization")))
    table = folders[name] / METADATA[name]
    known = read_dataset(folders[name]).table["path"].map(lambda path: folders[name] / path)
    places = [table] if name in PACKED else known.iloc[:3].tolist()
    out = tmp_path / "p.csv"
    ended = lesionwise("predict", *places, "--out", out, "--model", model, "--metadata", table)
    if name in NOTHING_BESIDES:
        assert ended.code == 2
        assert "expected a column of image ids" in ended.err
        assert "age, sex, localization" in ended.err
        return
    assert ended.code == 0, ended.err
    count = len(pd.read_csv(out))
    assert count == (len(held.rows()) if name in PACKED else 3)
    assert f"has a row for {count} of {count} images" in ended.err
    assert ": read " in ended.err


@pytest.mark.parametrize("name", PACKED)
def test_packed_images_are_predicted_and_scored_by_their_own_file(
    folders: dict[str, Path], tmp_path: Path, lesionwise: Lesionwise, name: str
) -> None:
    write_bundle(tmp_path / "model.onnx")
    packed, out = folders[name] / METADATA[name], tmp_path / "p.csv"
    ended = lesionwise("predict", packed, "--out", out, "--model", tmp_path / "model.onnx")
    assert ended.code == 0, ended.err
    found = pd.read_csv(out)
    dataset = read_dataset(folders[name])
    assert sorted(found["image_id"]) == dataset.table["image_id"].tolist()
    assert found["path"].iloc[0].startswith(f"{packed}!")
    scored = lesionwise("evaluate", out, "--truth", packed, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["lesions"] == dataset.table["lesion_id"].nunique()


def test_dermamnist_without_its_list_is_predicted_and_scored_by_image(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    packed = held.dermamnist(tmp_path / "data", named=False)
    write_bundle(tmp_path / "model.onnx")
    out = tmp_path / "p.csv"
    assert lesionwise("predict", packed, "--out", out, "--model", tmp_path / "model.onnx").code == 0
    assert pd.read_csv(out)["image_id"].iloc[[0, -1]].tolist() == ["train_00000", "test_00039"]
    ended = lesionwise("evaluate", out, "--truth", packed, "--by", "image")
    assert ended.code == 0, ended.err
    assert "dermamnist.npz: read image as image_id and dx; left split." in ended.err


def test_a_list_of_another_file_is_refused_before_the_work(tmp_path: Path, lesionwise: Lesionwise) -> None:
    packed = held.dermamnist(tmp_path / "data")
    path = tmp_path / "data" / "dermamnist_split_info.csv"
    info = pd.read_csv(path)
    info.assign(image_id=info["image_id"].to_numpy()[::-1]).to_csv(path, index=False)
    write_bundle(tmp_path / "model.onnx")
    ended = lesionwise("predict", packed, "--out", tmp_path / "p.csv", "--model", tmp_path / "model.onnx")
    assert ended.code == 2
    assert "dermamnist_split_info.csv: calls image 1" in ended.err


def test_isic_2024_is_predicted_and_scored_as_malignant_or_benign(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra [keras] is not installed")
    names = held.rows()["image_id"].head(20)
    data = tmp_path / "isic-2024"
    data.mkdir()
    with h5py.File(data / "train-image.hdf5", "w") as file:
        for number, name in enumerate(names):
            content = held.jpeg(number)
            file[name] = [np.void(content), np.bytes_(content), np.frombuffer(content, np.uint8)][number % 3]
        file["ISIC_9999999"] = np.zeros((4, 4, 3))
    pd.DataFrame({"isic_id": names, "target": [0, 1] * 10, "patient_id": "IP_1", "tbp_lv_A": 1.5}).to_csv(
        data / "train-metadata.csv", index=False
    )
    write_bundle(tmp_path / "model.onnx")
    out = tmp_path / "p.csv"
    ended = lesionwise("predict", data / "train-image.hdf5", "--out", out, "--model", tmp_path / "model.onnx")
    assert ended.code == 1
    assert pd.read_csv(out)["image_id"].tolist() == names.tolist()
    errors = pd.read_csv(tmp_path / "p-errors.csv")
    assert errors["image_id"].tolist() == ["ISIC_9999999"]
    truth = data / "train-metadata.csv"
    scored = lesionwise("evaluate", out, "--truth", truth, "--malignant", "--by", "image", "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["malignant"] == 10
    assert (
        "train-metadata.csv: read isic_id as image_id and target; left patient_id and tbp_lv_A" in scored.err
    )
    refused = lesionwise("data", "split", data)
    assert refused.code == 2
    assert "this is ISIC 2024: its table states only malignant or benign" in refused.err
    assert "lesionwise predict train-image.hdf5" in refused.err
    in_folder = lesionwise("predict", data, "--out", out, "--model", tmp_path / "model.onnx")
    assert in_folder.code == 2
    assert f"Name {data / 'train-image.hdf5'} instead" in in_folder.err
    (data / "train-image.hdf5").write_bytes(b"no HDF5")
    damaged = lesionwise("predict", data / "train-image.hdf5", "--out", out)
    assert damaged.code == 2
    assert "cannot be read as HDF5" in damaged.err


def test_a_missing_reader_of_hdf5_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lesionwise: Lesionwise
) -> None:
    (tmp_path / "train-image.hdf5").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    ended = lesionwise("predict", tmp_path / "train-image.hdf5")
    assert ended.code == 2
    assert 'needs h5py, which is not installed. Run: pip install "lesionwise[keras]"' in ended.err


def test_confirmed_pairs_say_which_columns_were_used(
    folders: dict[str, Path], tmp_path: Path, lesionwise: Lesionwise
) -> None:
    one, other = held.rows()["image_id"].iloc[:2]
    (tmp_path / "pairs.csv").write_text(f"image_id,other_image_id,correlation\n{one},{other},0.9\n")
    out = tmp_path / "split.csv"
    ended = lesionwise("data", "split", folders["kaggle"], "--merge", tmp_path / "pairs.csv", "--out", out)
    assert ended.code == 0, ended.err
    assert "pairs.csv: read image_id and other_image_id; left correlation." in ended.err
    assert "HAM10000_metadata.csv: read " in ended.err


def test_a_folder_says_its_diagnoses_by_code(folders: dict[str, Path]) -> None:
    assert all(set(read_dataset(folder).table["dx"]) == set(CODES) for folder in folders.values())
