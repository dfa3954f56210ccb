"""One reader of tables: every way in which a spreadsheet, Dataverse or the ISIC archive saves one table."""

from pathlib import Path

import pytest

from lesionwise.errors import DataError
from lesionwise.tables import describe_columns, read_table
from lesionwise.text_tables import COLUMNS, names_of

ROWS = [("isic_id", "age_approx", "note"), ("ISIC_1", "55", "large, dark"), ("ISIC_2", "", "é")]
WAYS = {
    "comma": (",", "utf-8"),
    "mark": (",", "utf-8-sig"),
    "tab": ("\t", "utf-8"),
    "semicolon": (";", "utf-8"),
    "utf-16": ("\t", "utf-16"),
    "utf-16 without a mark": (";", "utf-16-le"),
}


def write(path: Path, delimiter: str, encoding: str) -> Path:
    lines = [delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in ROWS]
    path.write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    return path


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_saving_gives_the_same_rows(tmp_path: Path, way: str) -> None:
    table = read_table(write(tmp_path / "t.csv", *WAYS[way]))
    expected = [
        {"image_id": "ISIC_1", "age": "55", "note": "large, dark"},
        {"image_id": "ISIC_2", "age": "", "note": "é"},
    ]
    assert [row for _, row in table.rows()] == expected
    assert [line for line, _ in table.rows()] == [2, 3]
    frame = table.frame()
    assert frame.to_dict("records") == expected
    assert frame.index.tolist() == [2, 3]


@pytest.mark.parametrize("ours", ["image_id", "age", "sex", "localization", "dx_type"])
def test_every_spelling_of_a_column_is_known(tmp_path: Path, ours: str) -> None:
    for name in COLUMNS[ours]:
        (tmp_path / "t.csv").write_text(f"{name.upper()},other\nA,B\n")
        table = read_table(tmp_path / "t.csv")
        assert next(table.rows())[1] == {ours: "A", "other": "B"}
        assert ours in table.frame()


def test_the_likeliest_of_several_columns_of_ids_is_taken() -> None:
    assert names_of(["image", "isic_id"]) == {"image_id": "image"}
    assert names_of(["id", "image_name"]) == {"image_id": "image_name"}


def test_a_name_in_another_form_of_unicode_is_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image_id\nla\u0308sion\n", encoding="utf-8")
    assert next(read_table(tmp_path / "t.csv").rows())[1]["image_id"] == "l\u00e4sion"
    assert read_table(tmp_path / "t.csv").frame()["image_id"].tolist() == ["l\u00e4sion"]


def test_sites_of_the_archive_are_those_of_ham10000_where_it_has_a_word(tmp_path: Path) -> None:
    sites = ["posterior torso", "palms/soles", "head/neck", "lower_extremity"]
    (tmp_path / "t.csv").write_text(
        "\n".join(["isic_id,anatom_site_general", *(f"I,{site}" for site in sites)])
    )
    found = [row["localization"] for _, row in read_table(tmp_path / "t.csv").rows()]
    assert found == ["back", "acral", "head/neck", "lower extremity"]


def test_what_was_used_and_what_was_left_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ",", "utf-8")
    assert describe_columns(path, ["image_id", "age", "sex"]) == (
        "t.csv: read isic_id as image_id and age_approx as age; left note."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n", "expected text in UTF-8 or UTF-16"),
        (b"image_id,age,age\nA,1,2\n", "age is twice in its header. Rename"),
        (b"Image_ID,age,image_id\nA,1,2\n", "Image_ID is twice in its header, once as image_id"),
        (b"image_id,age\nA,1,2\n", "row 2 has 3 cells but the header has 2"),
        ("image_id,note\nA,\xe9\n".encode("latin-1"), 'Save it as "CSV UTF-8"'),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_table(tmp_path / "t.csv").rows())


def test_empty_cells_behind_the_last_column_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image_id,age,dx\nA,50,mel,\nB,,nv,,\n")
    expected = [{"image_id": "A", "age": "50", "dx": "mel"}, {"image_id": "B", "age": "", "dx": "nv"}]
    assert [row for _, row in read_table(path).rows()] == expected
    assert read_table(path).frame().to_dict("records") == expected
    path.write_text("image_id,age,dx\nA,50,mel,more\nB,,nv,,\n")
    with pytest.raises(DataError, match="row 2 has 4 cells but the header has 3"):
        read_table(path).frame()
