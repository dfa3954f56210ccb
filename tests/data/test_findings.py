import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from conftest import ROOT, WriteKaggle
from lesionwise.data.dataset import read_dataset
from lesionwise.data.findings import check_listing
from lesionwise.data.layouts import Listing
from lesionwise.errors import FindingsError

ROWS = {"lesion_id": ["L1", "L2", "L3"], "image_id": ["I1", "I2", "I3"], "dx": ["mel", "nv", "bcc"]}


def listing(
    rows: Mapping[str, Sequence[str | None]], images: tuple[str, ...] = ("I1", "I2", "I3")
) -> Listing:
    table = pd.DataFrame(rows)
    table.index = pd.RangeIndex(2, len(table) + 2)
    return Listing("kaggle", Path("m.csv"), table, {image: Path(f"{image}.jpg") for image in images})


def test_a_sound_table_has_no_finding() -> None:
    assert check_listing(listing(ROWS)) == []


@pytest.mark.parametrize(
    ("change", "images", "code", "rows"),
    [
        ({"dx": ["mel", None, "bcc"]}, ("I1", "I2", "I3"), "D002", (3,)),
        ({"image_id": ["I1", "I1", "I3"]}, ("I1", "I3"), "D003", (2, 3)),
        ({"dx": ["mel", "wart", "bcc"]}, ("I1", "I2", "I3"), "D004", (3,)),
        ({}, ("I1", "I3"), "D005", (3,)),
        ({}, ("I1", "I2", "I3", "I4"), "D006", ()),
        ({"age": ["5", "-3", "240"]}, ("I1", "I2", "I3"), "D009", (3, 4)),
        ({"age": ["5", "eighty", None]}, ("I1", "I2", "I3"), "D009", (3,)),
        ({"lesion_id": ["L1", "L1", "L3"]}, ("I1", "I2", "I3"), "D010", (2, 3)),
    ],
)
def test_each_fault_has_its_code_and_its_rows(
    change: dict[str, list[str | None]], images: tuple[str, ...], code: str, rows: tuple[int, ...]
) -> None:
    findings = check_listing(listing({**ROWS, **change}, images))
    assert [(finding.code, finding.rows) for finding in findings] == [(code, rows)]


def test_what_was_left_out_is_a_warning_and_no_image_without_row() -> None:
    folder = replace(listing(ROWS, ("I1", "I2", "I3", "I4")), left_out={"SCC": ("I4",)})
    (finding,) = check_listing(folder)
    assert (finding.code, finding.severity, finding.ids) == ("D008", "warning", ("I4",))


def test_plausible_and_missing_ages_are_no_finding() -> None:
    assert check_listing(listing({**ROWS, "age": ["0.0", None, "unknown"]})) == []


def test_a_finding_as_json_shortens_nothing_and_points_to_its_documentation() -> None:
    many = {key: [f"{key}{number}" for number in range(40)] for key in ("lesion_id", "image_id")}
    (finding,) = check_listing(listing({**many, "dx": ["nv"] * 40}, images=()))
    value = finding.to_json()
    assert len(value["ids"]) == len(value["rows"]) == 40
    assert value["anchor"] == "docs/findings.md#d005"


def test_a_missing_column_is_named_with_those_that_were_found() -> None:
    renamed = {"lesion": ROWS["lesion_id"], "image_id": ROWS["image_id"], "dx": ROWS["dx"]}
    (finding,) = check_listing(listing(renamed))
    assert finding.code == "D001"
    assert "lesion_id is missing; found lesion, image_id, dx" in finding.message


def test_a_folder_with_every_fault_is_reported_completely(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    folder = write_kaggle(tmp_path / "data")
    metadata = folder / "HAM10000_metadata.csv"
    table = pd.read_csv(metadata, dtype=str)
    table.loc[0, "dx"] = "wart"
    table.loc[1, "lesion_id"] = None
    names = table["image_id"].tolist()
    table.loc[2, "image_id"] = names[3]
    table.to_csv(metadata, index=False)
    (folder / "HAM10000_images_part_1" / f"{names[5]}.jpg").unlink()
    with pytest.raises(FindingsError) as caught:
        read_dataset(folder)
    assert re.findall(r"^D\d+", str(caught.value), re.MULTILINE) == ["D002", "D003", "D004", "D005", "D006"]


def test_a_long_list_of_rows_is_shortened_in_the_text_but_whole_in_the_finding() -> None:
    many = {key: [f"{key}{number}" for number in range(40)] for key in ("lesion_id", "image_id")}
    (finding,) = check_listing(listing({**many, "dx": ["nv"] * 40}, images=()))
    assert len(finding.rows) == 40
    assert "and 28 more" in str(finding)


def test_every_code_stands_in_the_documentation() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/lesionwise").rglob("*.py"))
    text = (ROOT / "docs/findings.md").read_text()
    codes = sorted(set(re.findall(r'"(D\d{3})"', source)))
    assert codes == re.findall(r"^\| (D\d+) \|", text, re.MULTILINE)
    assert codes == re.findall(r"^### (D\d+)$", text, re.MULTILINE)
