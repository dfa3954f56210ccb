import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lesionwise.data.dataset import COLUMNS, Dataset, clean_table, read_dataset
from lesionwise.errors import DataError
from lesionwise.labels import CODES


def test_the_table_has_the_documented_columns_sorted_by_image(drawn: Dataset) -> None:
    assert tuple(drawn.table.columns) == COLUMNS
    assert drawn.table["image_id"].is_monotonic_increasing
    assert all(path.is_file() for path in drawn.paths)


def test_class_indices_follow_the_order_of_the_codes(drawn: Dataset) -> None:
    assert [CODES[index] for index in drawn.y] == drawn.table["dx"].tolist()


def test_missing_values_stay_missing_and_no_statistic_fills_them() -> None:
    raw = pd.DataFrame(
        {
            "image_id": ["b", "a", "c"],
            "age": ["40", "", "eighty"],
            "sex": ["Male", None, "unknown"],
            "localization": [" Back ", None, "face"],
        }
    )
    table = clean_table(raw).set_index("image_id")
    assert table.loc["b", "age"] == 40
    assert np.isnan(table["age"]["a"])
    assert np.isnan(table["age"]["c"])
    assert table["sex"].to_dict() == {"a": "unknown", "b": "male", "c": "unknown"}
    assert table["localization"].to_dict() == {"a": "unknown", "b": "back", "c": "face"}


def test_cleaning_a_row_does_not_depend_on_the_other_rows() -> None:
    raw = pd.DataFrame({"image_id": ["a", "b"], "age": ["30", None], "sex": ["male", "?"]})
    alone = clean_table(raw.iloc[[1]])
    together = clean_table(raw).iloc[[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together)


def test_a_folder_whose_download_is_not_finished_is_refused(drawn_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(drawn_folder, folder)
    read_dataset(folder)
    (folder / ".download" / "dataverse").mkdir(parents=True)
    with pytest.raises(
        DataError, match=r"is not finished. Run .*again to continue it. .* delete .*\.download"
    ):
        read_dataset(folder)
