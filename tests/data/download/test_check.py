"""Whether a folder is the whole of HAM10000, and how honestly that is said."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from lesionwise.data.download.check import TEST_TRUTH, check_folder
from lesionwise.data.download.sources import Catalogue, RemoteFile, Set, Source
from lesionwise.data.known_lesions import known_lesions

IDS = known_lesions().head(6)
CATALOGUE = Catalogue(files={}, lesions=lambda: IDS, test_images=3)


def write_folder(folder: Path, *, quality: int = 100) -> Path:
    part = folder / "HAM10000_images_part_1"
    part.mkdir(parents=True)
    for name in IDS["image_id"]:
        Image.effect_noise((24, 18), 60).convert("RGB").save(part / f"{name}.jpg", quality=quality)
    IDS.to_csv(folder / "HAM10000_metadata.csv", index=False)
    return folder


def test_a_whole_folder_is_complete_and_nothing_is_said_that_is_not_known(tmp_path: Path) -> None:
    found = check_folder(write_folder(tmp_path / "data"), catalogue=CATALOGUE)
    assert found.complete
    assert (found.expected, found.found, found.originals, found.reencoded) == (6, 6, 0, 0)
    assert any("cannot confirm single files" in note for note in found.notes)


def test_copies_that_were_saved_again_are_called_that(tmp_path: Path) -> None:
    found = check_folder(write_folder(tmp_path / "data", quality=75), catalogue=CATALOGUE)
    assert found.complete
    assert found.reencoded == 6
    assert any("compressed again with loss" in note for note in found.notes)


def test_missing_extra_and_damaged_images_are_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    images = folder / "HAM10000_images_part_1"
    first, second, *_ = IDS["image_id"]
    (images / f"{first}.jpg").unlink()
    (images / f"{second}.jpg").write_bytes((images / f"{second}.jpg").read_bytes()[:400])
    Image.new("RGB", (24, 18)).save(images / "mine.jpg")
    found = check_folder(folder, catalogue=CATALOGUE)
    assert not found.complete
    assert (found.missing, tuple(found.damaged), found.extra) == ((first,), (second,), ("mine",))
    assert first in found.summary
    assert found.to_json()["complete"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.assign(dx="df"), "differs from the official"),
        (lambda table: table.head(3), "differs from the official"),
        (lambda table: table.drop(columns="dx"), "lacks one of the columns"),
    ],
)
def test_a_table_that_disagrees_is_a_fault(tmp_path: Path, change: object, message: str) -> None:
    folder = write_folder(tmp_path / "data")
    change(IDS).to_csv(folder / "HAM10000_metadata.csv", index=False)  # type: ignore[operator]
    assert message in check_folder(folder, catalogue=CATALOGUE).summary


def test_an_empty_and_an_absent_folder_are_incomplete(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        found = check_folder(folder, catalogue=CATALOGUE)
        assert not found.complete
        assert "HAM10000_metadata.csv is missing" in found.summary


def test_an_archive_that_was_left_in_the_folder_is_held_against_its_checksum(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data")
    (folder / "part.zip").write_bytes(b"PK")
    files = {(Source.dataverse, Set.train): (RemoteFile("part.zip", "1", "images", md5="0" * 32),)}
    found = check_folder(folder, catalogue=Catalogue(files=files, lesions=lambda: IDS))
    assert "part.zip DOES NOT HAVE the official checksum." in found.notes


def write_test_set(folder: Path, names: list[str], drawn: list[str]) -> Path:
    folder.mkdir()
    pd.DataFrame({"image": names, "MEL": 1.0}).to_csv(folder / TEST_TRUTH, index=False)
    for name in drawn:
        Image.new("RGB", (24, 18)).save(folder / f"{name}.jpg")
    return folder


def test_the_image_that_many_test_sets_lack_is_no_fault_and_another_is(tmp_path: Path) -> None:
    names = ["ISIC_0034524", "ISIC_0034525", "ISIC_0035068"]
    found = check_folder(write_test_set(tmp_path / "a", names, names[:2]), Set.test, CATALOGUE)
    assert found.complete
    assert "ISIC_0035068 is missing, as in many copies" in found.notes[0]
    found = check_folder(write_test_set(tmp_path / "b", names, names[1:]), Set.test, CATALOGUE)
    assert found.missing == ("ISIC_0034524",)


def test_masks_are_held_against_their_checksum(tmp_path: Path) -> None:
    assert "is not there" in check_folder(tmp_path, Set.masks).summary


def test_the_real_copies_are_complete_and_said_to_be_reencoded(ham10000: Path) -> None:
    found = check_folder(ham10000)
    assert found.complete
    assert (found.expected, found.originals, found.reencoded) == (10_015, 0, 10_015)
    assert "agrees on every lesion" in found.notes[0]


def test_the_real_masks_are_named_if_they_are_not_the_official_archive(
    ham10000: Path, tmp_path: Path
) -> None:
    name = "HAM10000_segmentations_lesion_tschandl.zip"
    shutil.copyfile(ham10000 / name, tmp_path / name)
    found = check_folder(tmp_path, Set.masks)
    assert found.complete or "expected 10808743 bytes" in found.summary
