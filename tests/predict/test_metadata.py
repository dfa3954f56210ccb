from pathlib import Path

import numpy as np
import pytest

from data import held
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.data.metadata import encoding_of
from lesionwise.data.pictures import find_pictures
from lesionwise.errors import DataError
from lesionwise.predict.files import Output, predict_files
from lesionwise.predict.metadata import read_metadata_table
from serve.drawn_model import LIGHT, picture, write_bundle

FIELDS = encoding_of(("age", "sex", "localization"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A hand-made model that anything it is told besides makes think of basal cell carcinoma."""
    return load_model(write_bundle(tmp_path_factory.mktemp("told") / "m.onnx", metadata=FIELDS), threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three light pictures."""
    (tmp_path / "in").mkdir()
    for name in "abc":
        (tmp_path / "in" / f"{name}.jpg").write_bytes(picture(LIGHT))
    return tmp_path / "in"


def tops(path: Path) -> list[str]:
    rows = [line.split(",") for line in path.read_text().splitlines()]
    return [row[rows[0].index("top")] for row in rows[1:]]


@pytest.mark.parametrize(
    "text",
    [
        "image_id,age,note\nb,70,x\nelsewhere,30,\n",
        "path,sex,dx\nin/b.jpg,Male,mel\n",
        "\ufeffimage_id,path,localization\nb,nowhere.jpg,back\nc,nowhere.jpg,\n",
        "image_id,age\nphotographs/b.JPG,70\n",
        "image_id,age\none/a,70\ntwo/a.png,30\none/b,70\n",
    ],
    ids=["by name", "by path", "with both", "by file", "two of one name"],
)
@pytest.mark.parametrize("tta", [False, True])
def test_a_table_tells_of_some_images_and_the_rest_is_not_known(
    told: Engine, folder: Path, tmp_path: Path, text: str, *, tta: bool
) -> None:
    table, out = tmp_path / "known.csv", tmp_path / "out.csv"
    table.write_text(text, encoding="utf-8")
    metadata = read_metadata_table(table, told)
    pictures = find_pictures([str(folder)])
    predict_files(told, pictures, Output(out, tmp_path / "e.csv"), metadata=metadata, tta=tta)
    assert tops(out) == ["nv", "bcc", "nv"]
    predict_files(told, find_pictures([str(folder)]), Output(out, tmp_path / "e.csv"), tta=tta)
    assert tops(out) == ["nv", "nv", "nv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,dx\na,mel\n", "at least one of age, sex, localization but found image_id, dx"),
        ("name,age\na,3\n", "expected a column of image ids .* or path"),
        ("", "it or its first line is empty"),
        ("image_id,age\na,3\nb,old\n", r"row 3: expected age to be years from 0 to 120 but got \"old\""),
        ("image_id,localization\na,nose\n", "row 2: expected localization .*Leave the field empty"),
        ("image_id,age\na,3\na,4\n", 'row 3: "a" is already in an earlier row'),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_its_row(
    told: Engine, tmp_path: Path, text: str, message: str
) -> None:
    table = tmp_path / "known.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_metadata_table(table, told)


def test_a_model_of_images_alone_takes_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes no metadata, only images\. Leave --metadata out"):
        read_metadata_table(tmp_path / "known.csv", load_model(write_bundle(tmp_path / "m.onnx"), threads=1))


def test_a_missing_table_is_an_error(told: Engine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_metadata_table(tmp_path / "known.csv", told)


def test_an_interrupted_call_goes_on_with_the_same_table_alone(
    told: Engine, folder: Path, tmp_path: Path
) -> None:
    table, out = tmp_path / "known.csv", tmp_path / "out.csv"
    table.write_text("image_id,age\nb,70\n")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(
            told,
            find_pictures([str(folder)]),
            Output(out, tmp_path / "e.csv"),
            metadata=read_metadata_table(table, told),
            on_done=stop,
        )
    with pytest.raises(DataError, match="started with other settings: metadata was"):
        predict_files(told, find_pictures([str(folder)]), Output(out, tmp_path / "e.csv", resume=True))
    assert np.isfinite(read_metadata_table(table, told).numbers).all()


def test_a_table_of_ids_holds_for_images_in_folders(told: Engine, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "known.csv").write_text("image_id,age\nb,70\n", encoding="utf-8")
    table = read_metadata_table(tmp_path / "known.csv", told)
    pictures = list(find_pictures([str(folder.parent)]))
    assert [picture.image_id for picture in pictures] == ["a", "b", "c"]
    assert table.numbers_of(pictures).any(axis=1).tolist() == [False, True, False]
    assert [table.knows(picture) for picture in pictures] == [False, True, False]


METADATA = {
    "kaggle": "HAM10000_metadata.csv",
    "dataverse": "HAM10000_metadata.tab",
    "isic 2019": "ISIC_2019_Training_Metadata.csv",
    "MILK10k": "MILK10k_Training_Metadata.csv",
    "BCN20000": "bcn20000_metadata.csv",
    "ISIC archive": "metadata.csv",
}


@pytest.mark.parametrize("name", METADATA)
def test_the_metadata_of_every_collection_are_known_by_their_own_names(
    told: Engine, tmp_path: Path, name: str
) -> None:
    held.HELD[name](tmp_path / "data")
    table = read_metadata_table(tmp_path / "data" / METADATA[name], told)
    rows = [
        table.places[image]
        for image in ("ISIC_9000000", "ISIC_9000002", "ISIC_9000003")
        if image in table.places
    ]
    if name == "BCN20000":
        rows = [table.places[f"ISIC_900000{row}.jpg"] for row in (0, 2, 3)]
    known = FIELDS.encode(
        [
            {"age": "55", "sex": "male", "localization": "back"},
            {"age": "55", "sex": "male", "localization": "lower extremity"},
            {"age": "55", "sex": "male"},  # head/neck is several sites of HAM10000
        ]
    )
    np.testing.assert_array_equal(table.numbers[rows], known)
    assert "as age" in table.columns or name in ("kaggle", "dataverse")
