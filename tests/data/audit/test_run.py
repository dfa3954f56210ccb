"""The whole audit: a folder with every fault is reported completely, a sound one is left in peace."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from conftest import WriteKaggle
from data import held
from lesionwise.data.audit.page import write_audit
from lesionwise.data.audit.run import SIZE, Audit, audit_folder
from lesionwise.data.cache import open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.findings import Finding
from lesionwise.data.merging import merge_folders
from lesionwise.errors import DataError, FindingsError


def codes(audit: Audit) -> dict[str, Finding]:
    return {finding.code: finding for finding in audit.findings}


@pytest.fixture
def faulty(tmp_path: Path, write_kaggle: WriteKaggle) -> Path:
    """Every fault of a table and of an image file that there is."""
    folder = write_kaggle(tmp_path / "data", lesions=8, size=(90, 120))
    images = folder / "HAM10000_images_part_1"
    path = folder / "HAM10000_metadata.csv"
    table = pd.read_csv(path, dtype=str)
    names = table["image_id"].tolist()
    table.loc[0, "dx"] = "wart"
    table.loc[1, "lesion_id"] = None
    table.loc[2, "image_id"] = names[3]
    table.loc[4, "age"] = "-5"
    lesions = table["lesion_id"].tolist()
    table.loc[table["lesion_id"] == lesions[6], "lesion_id"] = lesions[8]
    table.to_csv(path, index=False)
    (images / f"{names[5]}.jpg").unlink()
    content = (images / f"{names[9]}.jpg").read_bytes()
    (images / f"{names[9]}.jpg").write_bytes(content[: len(content) // 2])
    (images / f"{names[10]}.jpg").write_bytes(b"")
    (images / f"{names[11]}.jpg").write_bytes(b"<html>not found</html>")
    Image.new("RGB", (1, 1)).save(images / f"{names[12]}.jpg")
    Image.new("L", (9000, 8000)).save(images / f"{names[13]}.jpg")
    with Image.open(images / f"{names[14]}.jpg") as image:
        image.convert("CMYK").save(images / f"{names[14]}.jpg")
    with Image.open(images / f"{names[15]}.jpg") as image:
        image.convert("L").save(images / f"{names[15]}.jpg")
    with Image.open(images / f"{names[16]}.jpg") as image:
        image.convert("RGBA").save(images / f"{names[16]}.png")
        (images / f"{names[16]}.jpg").unlink()
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(images / f"{names[17]}.jpg", exif=exif)
    shutil.copyfile(images / f"{names[20]}.jpg", images / f"{names[30]}.jpg")
    Image.fromarray(np.zeros((90, 120), dtype=np.uint16)).save(images / f"{names[18]}.png")
    (images / f"{names[18]}.jpg").unlink()
    return folder


def test_a_folder_with_every_fault_is_reported_completely(faulty: Path) -> None:
    found = codes(audit_folder(faulty))
    expected = {"D002", "D003", "D004", "D005", "D006", "D007", "D009", "D010", "D011"}
    assert expected <= set(found)
    names = [f"DRAWN_{number:07d}" for number in range(32)]
    assert found["D004"].rows == (2,)
    assert found["D002"].rows == (3,)
    assert found["D003"].rows == (4, 5)
    assert found["D005"].rows == (7,)
    assert found["D006"].ids == (names[2],)
    assert set(found["D007"].ids) == set(names[9:14])
    assert found["D009"].rows == (6,)
    assert set(found["D011"].ids) == {names[20], names[30]}


def test_training_stops_on_the_same_folder(faulty: Path) -> None:
    with pytest.raises(FindingsError, match="D004"):
        read_dataset(faulty)


def test_images_of_odd_kinds_that_can_be_read_are_no_fault(faulty: Path) -> None:
    audit = audit_folder(faulty)
    read = set(audit.dataset.table["image_id"])
    assert {f"DRAWN_{number:07d}" for number in (14, 15, 16, 17, 18)} <= read


def test_the_second_audit_says_the_same(faulty: Path) -> None:
    assert audit_folder(faulty).to_json() == audit_folder(faulty).to_json()


def test_a_table_without_a_needed_column_is_said_and_nothing_else_is_tried(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = write_kaggle(tmp_path / "data", lesions=1)
    path = folder / "HAM10000_metadata.csv"
    pd.read_csv(path).rename(columns={"dx": "kind"}).to_csv(path, index=False)
    audit = audit_folder(folder)
    assert list(codes(audit)) == ["D001"]
    assert (audit.images, audit.fails("error")) == (0, True)


def test_a_folder_of_which_no_image_can_be_read_is_reported(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    folder = write_kaggle(tmp_path / "data", lesions=1)
    for path in folder.rglob("*.jpg"):
        path.write_bytes(b"")
    audit = audit_folder(folder)
    assert len(codes(audit)["D007"].ids) == 10
    assert audit.images == 0


def test_a_damaged_image_of_a_parquet_file_is_named_by_its_id(tmp_path: Path) -> None:
    path = held.parquet(tmp_path)
    table = parquet.read_table(path)
    images = table["image"].to_pylist()
    for row in (3, 50):
        images[row]["bytes"] = images[row]["bytes"][:200]
    parquet.write_table(table.set_column(0, "image", pa.array(images)), path)
    verify_named(tmp_path, {held.rows()["image_id"][row] for row in (3, 50)})


@pytest.mark.parametrize("layout", ["DermaMNIST", "hmnist"])
def test_a_damaged_image_of_packed_pixels_is_named_by_its_id(tmp_path: Path, layout: str) -> None:
    if layout == "hmnist":
        names = ["L1", "L2", "L3"]
        rows = "".join(f"{name},{name}-a,mel,histo,50,male,back\n" for name in names)
        header = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "HAM10000_metadata.csv").write_text(header + rows)
        pixels = pd.DataFrame(np.arange(3 * 192).reshape(3, 192) % 256)
        pixels.columns = pd.Index([f"pixel{number:04d}" for number in range(192)])
        pixels.assign(label=6).to_csv(tmp_path / "data" / "hmnist_8_8_RGB.csv", index=False)
    else:
        held.dermamnist(tmp_path / "data")
    dataset = read_dataset(tmp_path / "data")
    content = dataset.paths[1].read_bytes()
    dataset.paths[1].write_bytes(content[: len(content) // 2])
    verify_named(tmp_path / "data", {dataset.table["image_id"][1]})
    dataset.paths[1].write_bytes(content)


def test_a_damaged_image_whose_file_has_another_name_is_named_by_its_id(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    for name in ("a", "b"):
        write_kaggle(tmp_path / name, lesions=1)
    merged = merge_folders([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    table = pd.read_csv(merged.path)
    chosen = table.iloc[[2]]
    Path(chosen["path"].item()).rename(tmp_path / "b" / "photo.jpg")
    (tmp_path / "b" / "photo.jpg").write_bytes(b"")
    table.loc[2, "path"] = str(tmp_path / "b" / "photo.jpg")
    table.to_csv(merged.path, index=False)
    verify_named(tmp_path / "all", set(chosen["image_id"]))


def verify_named(folder: Path, names: set[str]) -> None:
    """Make sure that an audit goes through and names these images alone as damaged."""
    whole = len(read_dataset(folder).table)
    audit = audit_folder(folder)
    finding = codes(audit)["D007"]
    assert set(finding.ids) == names
    assert all(f"{name} " in finding.message for name in names)
    assert audit.images == whole - len(names)
    with pytest.raises(FindingsError, match=min(names)):
        open_cache(read_dataset(folder), SIZE)


def test_no_data_folder_at_all_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a data folder"):
        audit_folder(tmp_path / "nowhere")


def test_severity_decides_what_fails() -> None:
    def audit(*severities: str) -> Audit:
        findings = tuple(Finding("D011", severity, "", "") for severity in severities)  # type: ignore[arg-type]
        return Audit(Dataset(Path(), "csv", pd.DataFrame()), findings)

    assert [audit().fails(level) for level in ("error", "warning", "never")] == [False] * 3
    assert [audit("warning").fails(level) for level in ("error", "warning", "never")] == [False, True, False]
    assert [audit("error").fails(level) for level in ("error", "warning", "never")] == [True, True, False]


def test_the_page_and_its_files_hold_what_was_found_and_nothing_from_the_net(
    faulty: Path, tmp_path: Path
) -> None:
    audit = audit_folder(faulty)
    write_audit(audit, tmp_path / "out")
    page = (tmp_path / "out" / "audit.html").read_text()
    for finding in audit.findings:
        assert f'id="{finding.code.lower()}"' in page
    assert "data:image/jpeg;base64," in page
    assert not re.search(r"(src|href)=\"(http|//)", page)
    value = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [finding["code"] for finding in value["findings"]] == [finding.code for finding in audit.findings]
    assert (tmp_path / "out" / "pairs.csv").read_text().startswith("image_id,other_image_id,correlation\n")


def test_markup_in_an_id_stays_text(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data", lesions=1)
    path = folder / "HAM10000_metadata.csv"
    with path.open("a") as table:
        table.write("L,<script>alert(1)</script>,nv,histo,5,male,back\n")
    audit = audit_folder(folder)
    write_audit(audit, tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / "audit.html").read_text()


def test_the_drawn_folder_has_no_error(drawn_folder: Path) -> None:
    audit = audit_folder(drawn_folder)
    assert not audit.fails("error")
    assert sum(audit.classes.values()) == audit.images


def test_identical_images_and_hidden_pairs_among_real_ones_are_found(ham10000: Path, tmp_path: Path) -> None:
    whole = read_dataset(ham10000).table
    named = {"ISIC_0024366", "ISIC_0029861", "ISIC_0024777", "ISIC_0029938", "ISIC_0027636", "ISIC_0027994"}
    chosen = whole[whole["image_id"].isin(named) | (whole.index % 100 == 0)]
    (tmp_path / "data").mkdir()
    for path in chosen["path"]:
        shutil.copyfile(ham10000 / path, tmp_path / "data" / Path(path).name)
    chosen.drop(columns="path").to_csv(tmp_path / "data" / "HAM10000_metadata.csv", index=False)
    found = codes(audit_folder(tmp_path / "data"))
    assert found["D011"].ids == ("ISIC_0024366", "ISIC_0024777", "ISIC_0029861", "ISIC_0029938")
    assert found["D012"].details[0]["pair"] == ["ISIC_0027636", "ISIC_0027994"]
    assert {"D019", "D020"} <= set(found)
    assert not any(finding.severity == "error" for finding in found.values())
