from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionwise.bundle.engine import Engine
from lesionwise.data.pictures import find_pictures
from lesionwise.errors import DataError
from lesionwise.predict.files import Output, predict_files
from lesionwise.predict.parquet import pack, unpack, write_parquet
from lesionwise.tables import Parquet

needs_arrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="Arrow is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "below").mkdir(parents=True)
    for name in ("b.png", "below/a.png"):
        Image.new("RGB", (60, 45), "tan").save(tmp_path / "images" / name)
    return tmp_path / "images"


@needs_arrow
def test_parquet_holds_what_the_csv_holds(folder: Path, engine: Engine, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    (folder / "None.png").write_bytes((folder / "b.png").read_bytes())  # a name that reads like a gap
    predict_files(engine, find_pictures([str(folder)]), Output(tmp_path / "p.csv", tmp_path / "e.csv"))
    write_parquet(tmp_path / "p.csv", tmp_path / "p.parquet")
    ours = pandas.read_parquet(tmp_path / "p.parquet")
    theirs = pandas.read_csv(tmp_path / "p.csv", keep_default_na=False, na_values={"ood_score": [""]})
    assert ours["image_id"].tolist() == ["None", "b", "a"]
    for column in theirs:
        assert ours[column].fillna(0).tolist() == theirs[column].fillna(0).tolist(), column
        assert (ours[column].dtype.kind == "f") == column.startswith(("prob_", "logit_", "malig", "ood"))


@needs_arrow
def test_a_parquet_file_is_unpacked_to_the_csv_that_it_was_made_of(
    folder: Path, engine: Engine, tmp_path: Path
) -> None:
    predict_files(engine, find_pictures([str(folder)]), Output(tmp_path / "p.csv", tmp_path / "e.csv"))
    written = (tmp_path / "p.csv").read_bytes()
    pack(tmp_path / "p.csv", tmp_path / "p.parquet")
    assert sorted(path.name for path in tmp_path.glob("p.*")) == ["p.parquet", "p.parquet.settings.json"]
    unpack(tmp_path / "p.parquet", tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == written
    (tmp_path / "broken.parquet").write_bytes(written)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        unpack(tmp_path / "broken.parquet", tmp_path / "q.csv")
    assert not (tmp_path / "q.csv").exists()


@needs_arrow
def test_a_parquet_file_that_is_damaged_within_is_named(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [np.random.default_rng(row).bytes(2_000) for row in range(8)]
    path = tmp_path / "images.parquet"
    parquet.write_table(arrow.table({"image": rows}), path, compression="snappy", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)  # the first page; the footer stays whole
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.parquet: cannot be read as Parquet"):
        list(Parquet(path).images())


@needs_arrow
@pytest.mark.parametrize("noted", [b'{"info": null}', b"no JSON"])
def test_a_parquet_file_may_note_nothing_of_its_labels(tmp_path: Path, noted: bytes) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"label": [0, 1]}).replace_schema_metadata({b"huggingface": noted})
    parquet.write_table(table, tmp_path / "labels.parquet")
    labels = Parquet(tmp_path / "labels.parquet").frame()["dx"]
    assert [int(label) for label in labels] == [0, 1]
