import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import make_recipe
from lesionwise.data.cache import data_fingerprint
from lesionwise.data.dataset import Dataset
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.experiments.image_facts import about_part, run_images
from lesionwise.files import write_json, write_text
from lesionwise.run_folder import RunFolder


@pytest.fixture
def run(drawn: Dataset, tmp_path: Path) -> RunFolder:
    """Predictions of a copy of the drawn data, which may be changed."""
    run = RunFolder(tmp_path / "run")
    shutil.copytree(drawn.folder, tmp_path / "data")
    ids = drawn.table["image_id"].to_numpy(str)[:20]
    write_predictions(Predictions(ids, np.full((20, 7), 1 / 7), drawn.y[:20]), run.predictions("val"))
    write_json(run.data, {"folder": str(tmp_path / "data")})
    return run


def test_the_predicted_images_are_described_in_their_order(run: RunFolder, drawn: Dataset) -> None:
    known, missing = about_part(run, "val")
    assert known is not None
    assert known["image_id"].tolist() == drawn.table["image_id"].tolist()[:20]
    assert missing == ""


def test_data_that_is_gone_is_named_without_a_walk_through_other_folders(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "data")
    monkeypatch.setattr("os.walk", lambda folder, **_: pytest.fail(f"walked {folder}"))
    assert about_part(run, "val") == (
        None,
        f"{tmp_path / 'data'}: The data folder is no longer where it was. No subgroups are scored.",
    )


def test_data_without_a_predicted_image_is_named(run: RunFolder, tmp_path: Path, drawn: Dataset) -> None:
    table = tmp_path / "data" / "HAM10000_metadata.csv"
    gone = min(drawn.table["image_id"].tolist()[:20])
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if gone not in line), encoding="utf-8")
    next((tmp_path / "data").rglob(f"{gone}.jpg")).unlink()
    known, missing = about_part(run, "val")
    assert known is None
    assert f"is not the one that was predicted: it has no image {gone}. No subgroups are scored." in missing


def test_data_with_another_picture_under_the_same_id_is_named(
    run: RunFolder, tmp_path: Path, drawn: Dataset
) -> None:
    recipe = make_recipe()
    write_text(run.config, recipe.to_toml())
    found = data_fingerprint(drawn, recipe.image_size)
    write_json(run.data, {"folder": str(tmp_path / "data"), "fingerprint": found})
    assert about_part(run, "val")[1] == ""
    one, other = list((tmp_path / "data").rglob("*.jpg"))[:2]
    shutil.copy(other, one)
    known, missing = about_part(run, "val")
    assert known is None
    assert "is not the one that was predicted: its table or its files changed since" in missing


def test_damaged_data_is_an_error_and_not_missing_data(run: RunFolder, tmp_path: Path) -> None:
    table = tmp_path / "data" / "HAM10000_metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace(",nv,", ",no such,"), encoding="utf-8")
    with pytest.raises(DataError, match="no such"):
        about_part(run, "val")


def test_damaged_predictions_are_an_error_and_not_missing_data(run: RunFolder) -> None:
    run.predictions("val").write_text("image_id\na\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"predictions-val\.csv: expected"):
        about_part(run, "val")


def test_predictions_from_elsewhere_have_no_data_and_nothing_is_missing(tmp_path: Path) -> None:
    found = run_images(RunFolder(tmp_path), ["a"])
    assert (found.dataset, found.missing) == (None, "")


def test_an_ensemble_has_the_data_of_its_members(run: RunFolder, tmp_path: Path, drawn: Dataset) -> None:
    both = RunFolder(tmp_path / "both")
    write_json(both.ensemble, {"members": [{"run": str(run.path)}], "parts": ["val"]})
    found = run_images(both, drawn.table["image_id"].tolist()[:20])
    assert found.dataset is not None
    shutil.rmtree(run.path)
    assert run_images(both, []).missing == "A run of this ensemble no longer exists."
