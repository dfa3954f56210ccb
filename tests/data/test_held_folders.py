"""Folders as people have them: each is read, split, checked and scored as the same lesions."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import Lesionwise
from data import held
from lesionwise.data.dataset import read_dataset
from lesionwise.data.known_lesions import known_lesions
from lesionwise.data.layouts import is_data_folder, read_listing
from lesionwise.data.layouts.isic import part_folder
from lesionwise.data.merging import merge_folders
from lesionwise.diagnoses import add_diagnoses
from lesionwise.errors import DataError, FindingsError
from lesionwise.labels import CODES
from lesionwise.split.assign import make_split
from lesionwise.split.groups import lesion_groups
from lesionwise.split.split_file import verify_split
from lesionwise.tables import find_tables, read_table

SAME = [name for name in held.HELD if name != "DermaMNIST"]
LEFT_OUT = {
    "isic 2019": {"SCC": 1, "UNK": 1},
    "MILK10k": {"SCCKA": 1, "clinical: close-up": held.LESIONS},
    "BCN20000": {"no diagnosis": 1},
    "ISIC archive": {
        "clinical: close-up": 1,
        "porokeratosis": 1,
        "malignant adnexal epithelial proliferations - follicular": 1,
    },
}


@pytest.mark.parametrize("name", held.HELD)
def test_every_collection_is_read_and_split_without_a_leak(tmp_path: Path, name: str) -> None:
    held.HELD[name](tmp_path / "data")
    dataset = read_dataset(tmp_path / "data")
    assert all(path.is_file() for path in dataset.paths)
    verify_split(make_split(dataset, by="lesion", seed=0), dataset)
    if name in SAME:
        expected = held.rows()
        found = dataset.table
        assert found["image_id"].tolist() == expected["image_id"].tolist()
        assert found["dx"].tolist() == expected["dx"].tolist()
        assert found["lesion_id"].str[-7:].tolist() == expected["lesion_id"].str[-7:].tolist()
        left_out = read_listing(tmp_path / "data").left_out
        assert {kind: len(ids) for kind, ids in left_out.items()} == LEFT_OUT.get(name, {})


def test_dermamnist_without_its_ids_is_refused_with_the_way_on(tmp_path: Path) -> None:
    held.dermamnist(tmp_path / "data", named=False)
    with pytest.raises(FindingsError, match=r"D001.*lesion_id.*dermamnist_split_info\.csv"):
        read_dataset(tmp_path / "data")


def test_ids_of_dermamnist_that_do_not_fit_its_labels_are_refused(tmp_path: Path) -> None:
    held.dermamnist(tmp_path / "data")
    path = tmp_path / "data" / "dermamnist_split_info.csv"
    info = pd.read_csv(path)
    info.assign(image_id=info["image_id"].to_numpy()[::-1]).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"images? differs?"):
        read_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "ISBI2016_ISIC_Part3_Training_GroundTruth.csv",
            "ISIC_0000000,benign\nISIC_1,malignant\n",
            "ISIC 2016",
        ),
        (
            "ISIC-2017_Training_Part3_GroundTruth.csv",
            "image_id,melanoma,seborrheic_keratosis\nA,1,0\n",
            "not the seven",
        ),
        (
            "train.csv",
            "image_name,patient_id,diagnosis,benign_malignant,target\nA,P,nevus,benign,0\n",
            "--malignant",
        ),
        ("train-metadata.csv", "isic_id,target,patient_id\nA,0,P\n", "ISIC 2024.*only malignant or benign"),
        ("train-image.hdf5", "", "If this is ISIC 2024, its table states only malignant or benign"),
    ],
)
def test_collections_that_do_not_tell_the_seven_apart_say_so(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_dataset(tmp_path)


def test_parts_of_a_challenge_are_paired_and_chosen(tmp_path: Path) -> None:
    held.isic_2018(tmp_path)
    part = "ISIC2018_Task3_Test"
    held.draw(tmp_path / f"{part}_Input", pd.Series(["ISIC_0034524"]))
    rows = "lesion_id\timage_id\tdx\nHAM_1\tISIC_0034524\tnv\n"
    (tmp_path / f"{part}_GroundTruth.tab").write_text(rows)
    with pytest.raises(
        DataError, match=r"ISIC2018_Task3_Test and ISIC2018_Task3_Training\. Choose one with --part"
    ):
        read_dataset(tmp_path)
    test = read_dataset(part_folder(tmp_path, "test"))
    assert test.table["image_id"].tolist() == ["ISIC_0034524"]
    training = read_dataset(tmp_path / "ISIC2018_Task3_Training")
    assert training.table["image_id"].tolist() == held.rows()["image_id"].tolist()
    with pytest.raises(DataError, match="expected --part to name one of"):
        part_folder(tmp_path, "validation")


@pytest.mark.parametrize("above", ["", "archive"])
def test_the_table_of_a_part_may_lie_in_a_folder_of_its_own_name(tmp_path: Path, above: str) -> None:
    held.isic_2019(tmp_path / above / "rest")
    held.isic_2018(tmp_path / above)  # which has such a folder
    part = "ISIC2018_Task3_Training"
    path = part_folder(tmp_path, "2018")
    assert path == tmp_path / above / part
    assert read_dataset(path).table["image_id"].tolist() == held.rows()["image_id"].tolist()
    rest = part_folder(tmp_path, "2019")
    assert rest == tmp_path / above / "rest" / "ISIC_2019_Training"
    assert len(read_dataset(rest).table) == len(held.rows())


def test_a_missing_data_folder_is_found_missing_without_a_walk_through_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lesionwise: Lesionwise
) -> None:
    held.isic_2018(tmp_path / "other")
    (tmp_path / "gone_old").mkdir()
    (tmp_path / "gone_GroundTruth.txt").write_text("notes")
    monkeypatch.setattr("os.walk", lambda folder, **_: pytest.fail(f"walked {folder}"))
    gone = tmp_path / "gone"
    assert not is_data_folder(gone)
    assert not is_data_folder(tmp_path / "ISIC2018_Task3_Training")
    with pytest.raises(DataError, match="gone: expected a data folder but found none"):
        read_dataset(gone)
    assert "gone: expected a data folder but found none" in lesionwise("data", "audit", gone).err


def test_a_folder_that_vanishes_while_tables_are_sought_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.archive(tmp_path)
    (tmp_path / "passing").mkdir()

    def find_late(folder: Path) -> list[Path]:
        shutil.rmtree(tmp_path / "passing", ignore_errors=True)
        return find_tables(folder)

    monkeypatch.setattr("lesionwise.data.layouts.forms.find_tables", find_late)
    assert len(read_dataset(tmp_path).table) == len(held.rows())


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    held.kaggle(tmp_path / "data")
    images = tmp_path / "data" / "HAM10000_images_part_1"
    images.rename(tmp_path / "elsewhere")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "data", target_is_directory=True)
    assert len(read_dataset(tmp_path / "data").table) == len(held.rows())


def test_the_licence_and_what_was_read_are_said(tmp_path: Path) -> None:
    held.archive(tmp_path / "data")
    (tmp_path / "data" / "more.gif").write_bytes(b"GIF89a")
    dataset = read_dataset(tmp_path / "data")
    assert set(dataset.table["license"]) == {"CC-BY"}
    assert "Licences: CC-BY of 112 images" in dataset.notes[0]
    assert "not read: 1 .gif" in dataset.notes[1]
    assert "isic_id as image_id" in dataset.columns
    assert "left attribution" in dataset.columns


def test_two_collections_become_one_and_shared_images_count_once(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    held.kaggle(tmp_path / "ham")
    held.isic_2019(tmp_path / "isic")
    pad = tmp_path / "mine"
    held.draw(pad, pd.Series(["a"]))  # the very file of the first image
    (pad / "mine.csv").write_text("image_id,lesion_id,dx\na,1,akiec\n")
    ended = lesionwise(
        "data", "merge", tmp_path / "ham", tmp_path / "isic", pad, "--out", tmp_path / "all", "--json"
    )
    assert ended.code == 0, ended.err
    value = json.loads(ended.out)
    assert value["images"] == {"ham": len(held.rows()), "isic": 0, "mine": 1}
    assert (value["again"], value["alike"]) == (len(held.rows()), 1)
    merged = read_dataset(tmp_path / "all")
    table = merged.table.set_index("image_id")
    lesion = table["lesion_id"].to_dict()
    assert lesion["a"] == lesion["ISIC_9000000"]
    assert table["collection"].value_counts().to_dict() == {"ham": len(held.rows()), "mine": 1}
    own = held.rows().set_index("image_id")["lesion_id"].to_dict()
    assert dict(zip(merged.table["image_id"], lesion_groups(merged.table), strict=True)) == {
        **own,
        "a": own["ISIC_9000000"],
    }


def test_a_quiet_merge_prints_its_result_alone(tmp_path: Path, lesionwise: Lesionwise) -> None:
    a, b = write_own(tmp_path / "a", ["1,8,nv"]), write_own(tmp_path / "b", ["2,9,mel"], 1)
    assert "b: " in lesionwise("data", "merge", a, b, "--out", tmp_path / "loud").err
    ended = lesionwise("data", "merge", a, b, "--out", tmp_path / "all", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{tmp_path / 'all'}")


def write_own(folder: Path, rows: list[str], first: int = 0, columns: str = "image_id,lesion_id,dx") -> Path:
    """Write a folder with a table of one's own; files differ by `first` and their place."""
    folder.mkdir()
    (folder / "own.csv").write_text("\n".join([columns, *rows, ""]))
    for number, row in enumerate(rows, first):
        (folder / f"{row.split(',')[0]}.jpg").write_bytes(held.jpeg(number))
    return folder


def merge(folders: list[Path], out: Path) -> dict[str, str]:
    """Merge folders and return the group of each image."""
    merge_folders(folders, out)
    table = read_dataset(out).table
    return dict(zip(table["image_id"], lesion_groups(table), strict=True))


def test_siblings_of_ham10000_in_two_collections_are_one_lesion(tmp_path: Path) -> None:
    known = known_lesions()
    two = known[known["lesion_id"] == known["lesion_id"][known["lesion_id"].duplicated()].iloc[0]].iloc[:2]
    (one, lesion, dx), (other, _, _) = two.to_numpy().tolist()
    a = write_own(tmp_path / "a", [f"{one},{lesion},{dx}"])
    b = write_own(tmp_path / "b", [f"{other},7,{dx}", "c,8,nv"], 1)
    assert merge([a, b], tmp_path / "all") == {one: lesion, other: lesion, "c": "b 8"}
    own = pd.DataFrame({"image_id": [one, other, "c"], "lesion_id": ["6", "7", "8"]})
    assert lesion_groups(own).tolist() == ["6", "6", "8"]


def test_an_image_of_isic_2019_in_a_smaller_size_is_the_image_of_the_archive(tmp_path: Path) -> None:
    a = write_own(tmp_path / "a", ["ISIC_0000001,5,nv", "ISIC_0000009,MSK4_0000001,nv"])
    b = write_own(tmp_path / "b", ["ISIC_0000001_downsampled,6,nv", "ISIC_0000002,6,nv"], 2)
    c = write_own(tmp_path / "c", ["ISIC_0000003,MSK4_0000001,nv"], 4)
    groups = merge([a, b, c], tmp_path / "all")
    assert groups == {
        "ISIC_0000001": "a 5",
        "ISIC_0000002": "a 5",
        "ISIC_0000003": "MSK4_0000001",
        "ISIC_0000009": "MSK4_0000001",
    }
    table = pd.DataFrame({"image_id": ["ISIC_0000001", "ISIC_0000001_downsampled"], "lesion_id": ["1", "2"]})
    assert lesion_groups(table).tolist() == ["1", "1"]


def test_a_merge_keeps_what_each_collection_called_an_image_and_its_lesion(tmp_path: Path) -> None:
    a = write_own(tmp_path / "a", ["1,8,nv", "ISIC_0000001,5,nv"])
    b = write_own(tmp_path / "b", ["1,9,mel", "ISIC_0000001_downsampled,6,nv"], 2)
    c = write_own(tmp_path / "c", ["b-1,9,mel"], 4)
    merge_folders([a, b, c], tmp_path / "all")
    merge_folders([tmp_path / "all", write_own(tmp_path / "d", ["2,3,nv"], 5)], tmp_path / "again")
    for out in ("all", "again"):
        table = read_dataset(tmp_path / out).table.set_index("image_id")
        originals = table[["original_image_id", "original_lesion_id"]].T.to_dict("list")
        assert originals.pop("2", ["2", "3"]) == ["2", "3"]
        assert originals == {
            "1": ["1", "8"],
            "ISIC_0000001": ["ISIC_0000001;ISIC_0000001_downsampled", "5;6"],
            "b-1": ["1", "9"],
            "c-b-1": ["b-1", "9"],
        }


def test_collections_that_contradict_each_other_are_not_merged(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    held.kaggle(tmp_path / "ham")
    path = held.archive(tmp_path / "archive")
    path.write_text(path.read_text().replace("Melanoma in situ", "Nevus"))
    ended = lesionwise("data", "merge", tmp_path / "ham", tmp_path / "archive", "--out", tmp_path / "all")
    assert ended.code == 2
    assert "mel in ham but the same image is nv in" in ended.err


def test_a_merge_says_what_each_collection_left_out_and_which_licences_it_has(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    held.archive(tmp_path / "archive")
    own = write_own(tmp_path / "own", ["1,8,nv"], 500)
    ended = lesionwise("data", "merge", own, tmp_path / "archive", "--out", tmp_path / "all", "--json")
    notes = json.loads(ended.out)["notes"]
    assert len(notes) == 4
    assert notes[0] == "own: own.csv: read image_id, lesion_id and dx."
    assert "ISIC archive: D008 warning" in notes[1]
    assert "1 of porokeratosis" in notes[1]
    assert "ISIC archive: Licences: CC-BY of 112 images" in notes[2]
    assert "ISIC archive: metadata.csv: read isic_id as image_id" in notes[3]
    assert all(note in ended.err for note in notes)


def test_a_merge_into_a_folder_of_its_images_is_refused_or_read(tmp_path: Path) -> None:
    ham = tmp_path / "ham"
    held.kaggle(ham)
    own = write_own(ham / "own", ["1,8,nv"], 500)
    other = write_own(tmp_path / "other", ["2,8,nv"], 501)
    with pytest.raises(DataError, match="it is one of those to merge"):
        merge_folders([own, other], own)
    with pytest.raises(DataError, match="it is one of those to merge"):
        merge_folders([own, other], other / ".." / "other")
    merge_folders([own, other], ham)  # above one, and another layout would read it
    assert read_dataset(ham).table["image_id"].tolist() == ["1", "2"]


def test_a_column_diagnosis_may_hold_the_seven_codes() -> None:
    found = add_diagnoses(pd.DataFrame({"image_id": ["a", "b"], "diagnosis": ["akiec", "NV"]}))
    assert found[["dx", "foreign"]].to_numpy().tolist() == [["akiec", ""], ["nv", ""]]


def test_equal_files_with_two_diagnoses_are_not_merged(tmp_path: Path) -> None:
    a = write_own(tmp_path / "a", ["1,8,nv"])
    b = write_own(tmp_path / "b", ["2,9,mel"])
    with pytest.raises(DataError, match=r"1 is nv in a but the same image is mel in b \(2\)"):
        merge_folders([a, b], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_a_table_that_contradicts_the_one_that_ships_is_refused(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    for name in ("train.txt", "test.txt"):
        (tmp_path / name).write_text("ISIC_0027419\n")
    arguments = ["check", "--train", tmp_path / "train.txt", "--test", tmp_path / "test.txt", "--table"]
    for rows, message in (
        ("ISIC_0027419,X,nv\nISIC_0025030,X,bkl\n", "ISIC_0027419 has another diagnosis"),
        ("ISIC_0027419,X,bkl\nISIC_0025030,Y,bkl\n", "another lesion_id than its lesion"),
        ("ISIC_0027419,X,bkl\nISIC_0026769,X,bkl\n", "shares a lesion_id with another lesion"),
    ):
        (tmp_path / "t.csv").write_text(f"image_id,lesion_id,dx\n{rows}")
        ended = lesionwise(*arguments, tmp_path / "t.csv")
        assert ended.code == 2
        assert message in ended.err


def test_a_table_that_has_nothing_to_do_with_the_images_harms_nothing(tmp_path: Path) -> None:
    held.archive(tmp_path)
    (tmp_path / "notes.csv").write_bytes(b"")
    assert len(read_dataset(tmp_path).table) == len(held.rows())


def test_a_column_malignant_of_ones_own_is_not_taken_for_isic_2016(tmp_path: Path) -> None:
    held.draw(tmp_path, pd.Series(["a"]))
    (tmp_path / "mine.csv").write_text("image_id,lesion_id,dx,malignant\na,1,mel,1\n")
    assert read_dataset(tmp_path).table["dx"].tolist() == ["mel"]


def test_a_table_in_another_encoding_is_named_where_nothing_else_is_found(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_bytes("image_id,dx\nl\xe4sion,mel\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"docs/data\.md lists them all\. .*Save it as \"CSV UTF-8\""):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["../beside", "/beside", "..\\beside"])
def test_an_id_of_a_parquet_file_does_not_choose_where_its_image_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LESIONWISE_CACHE", str(tmp_path / "cache"))
    write_parquet(tmp_path / "data", image_id=[name], label=["mel"])
    listing = read_listing(tmp_path / "data")
    (path,) = listing.images.values()
    assert listing.table["image_id"].tolist() == list(listing.images) == ["beside"]
    assert path.name == "000000.png"
    assert path.resolve().is_relative_to(tmp_path / "cache")


def write_parquet(
    folder: Path,
    *,
    images: list[object] | None = None,
    names: list[str] | None = None,
    **columns: list[object],
) -> Path:
    """Write a parquet file with these columns, images that are drawn if left out, and names of labels."""
    folder.mkdir(parents=True)
    rows = len(next(iter(columns.values())))
    images = images or [{"bytes": held.jpeg(row), "path": None} for row in range(rows)]
    table = pa.table({"image": images, **columns})
    if names:
        features = {"info": {"features": {"label": {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, folder / "train.parquet")
    return folder


@pytest.mark.parametrize("label", [-1, 7, None])
def test_a_label_without_a_name_is_no_diagnosis(tmp_path: Path, label: int | None) -> None:
    folder = write_parquet(tmp_path / "data", names=list(CODES), label=[4, label], lesion_id=["1", "2"])
    assert read_listing(folder).table["dx"].iloc[0] == CODES[4]
    with pytest.raises(FindingsError, match=r"D002.*Rows: 3\."):
        read_dataset(folder)


def test_plain_bytes_in_a_parquet_file_are_images(tmp_path: Path) -> None:
    folder = write_parquet(
        tmp_path / "data", images=[held.jpeg(0)], ISIC_ID=["a.jpg"], dx=["mel"], Lesion_ID=["1"]
    )
    dataset = read_dataset(folder)
    assert dataset.table[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [["a", "1", "mel"]]
    assert dataset.paths[0].read_bytes() == held.jpeg(0)


def test_a_row_of_a_parquet_file_without_an_id_is_a_finding(tmp_path: Path) -> None:
    folder = write_parquet(
        tmp_path / "data", image_id=[None, None, "a"], dx=["mel"] * 3, lesion_id=["1", "2", "3"]
    )
    with pytest.raises(FindingsError, match=r"D002.*Rows: 2, 3\."):
        read_dataset(folder)


@pytest.mark.parametrize("image", [{"bytes": None, "path": "a.jpg"}, "a.jpg"])
def test_a_parquet_file_with_paths_alone_is_refused(tmp_path: Path, image: object) -> None:
    folder = write_parquet(tmp_path / "data", images=[image], dx=["mel"])
    with pytest.raises(
        DataError, match=r"train\.parquet: (image 1 has no bytes|expected the bytes of each image)"
    ):
        read_listing(folder)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(DataError, match=r"train\.parquet: cannot be read as Parquet"):
        read_listing(tmp_path)


def test_a_dermamnist_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = held.dermamnist(tmp_path / "data", named=False)
    with np.load(path) as packed:
        arrays = dict(packed)
    arrays["val_labels"][3] = 7
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(DataError, match="expected one label from 0 to 6 for each image but found label 7"):
        read_listing(tmp_path / "data")
    arrays["val_labels"] = arrays["val_labels"][:2]
    np.savez(path, allow_pickle=False, **arrays)
    with pytest.raises(DataError, match="found 2 labels of 20 images in val_images"):
        read_listing(tmp_path / "data")
    with path.open("wb") as file:
        np.save(file, arrays["val_images"])
    with pytest.raises(DataError, match="expected train_images"):
        read_listing(tmp_path / "data")


def test_two_columns_of_one_name_in_a_parquet_file_are_refused(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "data", image_id=["a"], Image_ID=["b"], dx=["mel"])
    with pytest.raises(DataError, match=r"image_id is twice in its header, once as Image_ID"):
        read_listing(folder)


def test_another_parquet_file_with_two_columns_of_one_name_does_not_stop_a_folder(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "data", image_id=["a"], dx=["mel"], lesion_id=["1"])
    other = pa.table([pa.array([1]), pa.array([2])], names=["value", "Value"])
    parquet.write_table(other, folder / "experiment.parquet")
    assert read_listing(folder).table["image_id"].tolist() == ["a"]
    with pytest.raises(DataError, match=r"experiment\.parquet: .* value is twice in its header"):
        read_table(folder / "experiment.parquet").frame()


def test_a_fault_in_one_of_several_tables_is_found_in_its_file_and_line(tmp_path: Path) -> None:
    held.imagefolder(tmp_path)
    path = tmp_path / "test" / "metadata.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:2], rows[2].replace(rows[2].split(",")[1], "wart"), *rows[3:], ""]))
    with pytest.raises(
        FindingsError, match=r"^[^:]*: the data .*\n.*D004.*'wart'.*Rows: test/metadata\.csv:3\."
    ) as got:
        read_dataset(tmp_path)
    assert str(got.value).startswith(f"{tmp_path}: ")


def test_a_fault_in_one_of_several_parquet_files_is_found_in_its_file(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "data", image_id=["a"], dx=["mel"], lesion_id=["1"])
    (folder / "train.parquet").rename(tmp_path / "first.parquet")
    (folder).rmdir()
    write_parquet(folder, image_id=["b", "c"], dx=["nv", "wart"], lesion_id=["2", "3"])
    (tmp_path / "first.parquet").rename(folder / "first.parquet")
    with pytest.raises(FindingsError, match=r"D004.*'wart'.*Rows: train\.parquet:3\."):
        read_dataset(folder)


def write_paths(folder: Path, *paths: str, table: str = "mine.csv") -> None:
    rows = "".join(f"{row},{row},nv,{path}\n" for row, path in enumerate(paths))
    (folder / table).parent.mkdir(parents=True, exist_ok=True)
    (folder / table).write_text(f"image_id,lesion_id,dx,path\n{rows}")


@pytest.mark.parametrize(
    "path", ["images/a.jpg", "images\\a.jpg", "/kaggle/input/ham/a.jpg", "C:\\ham\\a.jpg"]
)
def test_a_path_of_a_table_is_found_wherever_it_was_written(tmp_path: Path, path: str) -> None:
    held.draw(tmp_path / "images", pd.Series(["a"]))
    write_paths(tmp_path, path)
    assert [file.name for file in read_dataset(tmp_path).paths] == ["a.jpg"]


def test_a_path_is_relative_to_its_own_table(tmp_path: Path) -> None:
    for part in ("one", "two"):
        held.draw(tmp_path / part, pd.Series(["a"]))
        path = tmp_path / part / "metadata.csv"
        path.write_text(f"file_name,lesion_id,dx,path\n{part},{part},nv,a.jpg\n")
    dataset = read_dataset(tmp_path)
    assert dataset.table[["image_id", "path"]].to_numpy().tolist() == [
        ["one", "one/a.jpg"],
        ["two", "two/a.jpg"],
    ]


def test_a_file_that_no_path_names_is_a_finding(tmp_path: Path) -> None:
    held.draw(tmp_path / "images", pd.Series(["a", "b"]))
    write_paths(tmp_path, "images/a.jpg")
    with pytest.raises(FindingsError, match=r"D006.*1 image file without a row in mine\.csv.*Images: b\."):
        read_dataset(tmp_path)


def test_a_table_with_isic_ids_and_malignant_has_a_header(tmp_path: Path) -> None:
    path = tmp_path / "My_GroundTruth.csv"
    path.write_text("isic_id,malignant\nISIC_0000001,1\n")
    with pytest.raises(FindingsError, match="D001"):
        read_dataset(tmp_path)


def test_tables_that_cannot_be_read_harm_nothing_and_are_named_if_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.csv").write_bytes(b"")
    (tmp_path / "notes.csv").write_bytes("notizen,gr\xf6\xdfe\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"notes\.csv: cannot be read as a table.*todo\.csv: cannot be read"):
        read_dataset(tmp_path)
    held.draw(tmp_path, pd.Series(["a"]))
    (tmp_path / "t.csv").write_text("image_id,lesion_id,dx\na,1,mel\n")
    assert read_dataset(tmp_path).table["dx"].tolist() == ["mel"]


def test_subfolders_with_tables_of_their_own_are_named_and_never_read_in_place_of_the_folder(
    tmp_path: Path,
) -> None:
    for part, name in (("train", "a"), ("test", "b")):
        held.draw(tmp_path / part / "images" / "batch 1", pd.Series([name]))
        (tmp_path / part / "labels.csv").write_text(f"image_id,lesion_id,dx\n{name},{name},mel\n")
    (tmp_path / "labels.csv").write_bytes("image_id,dx\na,n\xe4vus\n".encode("latin-1"))
    with pytest.raises(
        DataError, match=r"labels\.csv: cannot be read.* of their own: test, train\. Pass one"
    ):
        read_dataset(tmp_path)
    assert read_dataset(tmp_path / "train").table["image_id"].tolist() == ["a"]


def test_a_folder_that_holds_nothing_but_a_folder_is_that_folder(
    tmp_path: Path, lesionwise: Lesionwise
) -> None:
    held.kaggle(tmp_path / "ham" / "ham")
    (tmp_path / "ham" / "__MACOSX").mkdir()
    assert len(read_dataset(tmp_path / "ham").table) == len(held.rows())
    held.draw(tmp_path / "own" / "own", pd.Series(["a"]))
    (tmp_path / "own" / "own" / "t.csv").write_text("image_id,dx\na,mel\n")
    assert lesionwise("data", "lesions", tmp_path / "own", "--each-image").code == 0
    assert read_dataset(tmp_path / "own").table["lesion_id"].tolist() == ["a"]
    held.draw(tmp_path / "classes" / "mel", pd.Series(["a"]))
    assert read_listing(tmp_path / "classes").table["dx"].tolist() == ["mel"]


def test_the_metadata_of_ham10000_may_be_named_in_any_case(tmp_path: Path) -> None:
    held.kaggle(tmp_path).rename(tmp_path / "ham10000_METADATA.CSV")
    assert len(read_dataset(tmp_path).table) == len(held.rows())


def test_a_table_that_was_downloaded_twice_counts_once(tmp_path: Path) -> None:
    path = held.archive(tmp_path)
    (tmp_path / "metadata (1).csv").write_bytes(path.read_bytes())
    dataset = read_dataset(tmp_path)
    assert len(dataset.table) == len(held.rows())
    assert dataset.columns.startswith("metadata.csv: read")


def test_files_that_hold_no_table_of_images_harm_nothing_and_are_named_if_nothing_is_found(
    tmp_path: Path,
) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    parquet.write_table(pa.table({"image_id": ["a"], "prob_nv": [1.0]}), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"t\.xlsx: is a workbook.*") as got:
        read_dataset(tmp_path)
    assert "p.parquet: expected the bytes of each image" in str(got.value)
    held.class_folders(tmp_path)
    assert len(read_dataset(tmp_path).table) == len(held.rows())
