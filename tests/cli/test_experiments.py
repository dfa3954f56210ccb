import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import Lesionwise, WriteKaggle, make_recipe
from lesionwise.cli.experiments import _read_folds
from lesionwise.errors import LesionwiseError


def test_folds_now_and_folds_later_and_what_can_be_done_with_them(
    tmp_path: Path, write_kaggle: WriteKaggle, lesionwise: Lesionwise
) -> None:
    data, out = write_kaggle(tmp_path / "data", lesions=20), tmp_path / "out"
    (tmp_path / "r.toml").write_text(make_recipe(model="seed-mlp", epochs=1, batch_size=64).to_toml())
    options = ["--data", data, "--out", out, "--quiet"]
    first = lesionwise("cross-validate", tmp_path / "r.toml", *options, "--folds", "2,")
    assert first.code == 0, first.err
    assert "folds 2 of 1, 2, 3, 4, 5 done; 1, 3, 4, 5 still to do" in first.out
    assert "mean over folds" in first.out
    both = lesionwise("cross-validate", tmp_path / "r.toml", *options[:-1], "--folds", "1,2", "--json")
    value: dict[str, Any] = json.loads(both.out)
    assert both.err.count("HAM10000_metadata.csv: read lesion_id, image_id, dx") == 1  # not for each fold
    assert value["done"] == [1, 2]
    assert len(value["mean_over_folds"]["accuracy"]["each"]) == 2
    assert lesionwise("report", out).code == 0
    assert "out-of-fold" in lesionwise("evaluate", out).out
    shutil.copytree(out, tmp_path / "copy")
    assert lesionwise("compare", out, tmp_path / "copy").code == 0
    refused = lesionwise("cross-validate", tmp_path / "r.toml", *options, "--seed", "1")
    assert refused.code == 2
    assert "was started with another --seed" in refused.err


@pytest.mark.parametrize(("text", "meant"), [(None, None), ("5", 5), ("1,2", [1, 2]), ("3,", [3])])
def test_a_comma_tells_folds_from_their_number(text: str | None, meant: int | list[int] | None) -> None:
    assert _read_folds(text) == meant


@pytest.mark.parametrize("text", ["", ",", "two", "1.5"])
def test_what_names_no_folds_is_refused(text: str) -> None:
    with pytest.raises(LesionwiseError, match="Expected --folds"):
        _read_folds(text)
