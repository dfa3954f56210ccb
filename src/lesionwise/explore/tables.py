"""What the table of a data set holds, as small tables: each is the CSV of one figure.

`dx_type` is counted because it must be understood, and never shown to a model: it says how the diagnosis was
made, and only some diagnoses were made in some ways.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.labels import CODES

UNKNOWN: Final = "unknown"
AGE_STEP_YEARS: Final = 5
QUANTILES: Final = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
_DESCRIBED: Final = ("age", "sex", "localization", "dx_type")


def diagnosis_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return, for each diagnosis, its images, its lesions, and the images that share their lesion."""
    photographs = table.groupby("lesion_id")["image_id"].transform("size")
    groups = [table["dx"] == code for code in CODES]
    images = np.array([int(own.sum()) for own in groups])
    shared = np.array([int((photographs[own] > 1).sum()) for own in groups])
    return pd.DataFrame(
        {
            "diagnosis": CODES,
            "images": images,
            "lesions": [int(table.loc[own, "lesion_id"].nunique()) for own in groups],
            "share_of_images": images / max(len(table), 1),
            "sharing_their_lesion": shared,
            "share_sharing": shared / np.maximum(images, 1),
        }
    )


def count_table(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return how many images have each value of a column, by diagnosis and in all, commonest first."""
    counts = _by_diagnosis(table[column], table["dx"], "images")
    return counts.sort_values("images", ascending=False, kind="stable").reset_index(drop=True)


def photographs_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many lesions have one photograph, two, and so on, by diagnosis of the lesion."""
    lesions = table.groupby("lesion_id").agg(photographs=("image_id", "size"), dx=("dx", "first"))
    return _by_diagnosis(lesions["photographs"], lesions["dx"], "lesions")


def age_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the images of each five years of age, by diagnosis; ages that are missing are left out."""
    known = table.dropna(subset=["age"])
    years = (known["age"] // AGE_STEP_YEARS * AGE_STEP_YEARS).astype(int)
    every = pd.Index(range(0, max(years, default=0) + 1, AGE_STEP_YEARS), name="age_from")
    return _by_diagnosis(years, known["dx"], "images", every)


def _by_diagnosis(
    values: pd.Series, dx: pd.Series, total: str, every: pd.Index | None = None
) -> pd.DataFrame:
    """Count each value (of all that there may be) by diagnosis and in total."""
    counts = pd.crosstab(values, dx).reindex(index=every, columns=list(CODES), fill_value=0)
    counts[total] = counts.sum(axis=1)
    return counts.reset_index().rename_axis(columns=None)


def share_table(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return which part of each diagnosis (rows) has each value of a column (columns, commonest first)."""
    counts = count_table(table, column)
    shares = counts.set_index(column)[list(CODES)].T
    shares = shares.div(shares.sum(axis=1).clip(lower=1), axis=0)
    shares.index.name, shares.columns.name = "diagnosis", None
    return shares


def missing_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return which part of each diagnosis (rows, and all) lacks its age, sex, site or confirmation."""
    lacking = pd.DataFrame(
        {
            column: table[column].isna() if column == "age" else table[column] == UNKNOWN
            for column in _DESCRIBED
        }
    )
    rows = {code: lacking[table["dx"] == code].mean() for code in CODES} | {"all": lacking.mean()}
    return pd.DataFrame(rows).T.fillna(0.0).rename_axis(index="diagnosis")


def size_table(sizes: list[tuple[int, int]]) -> pd.DataFrame:
    """Return the sizes of the image files, the commonest first."""
    counts = pd.Series([f"{width} x {height}" for width, height in sizes], dtype=str).value_counts()
    return counts.rename_axis("size_px").rename("images").reset_index()


def spread_table(measures: pd.DataFrame, dx: NDArray[np.str_]) -> pd.DataFrame:
    """Return five quantiles of every measure in every diagnosis, without the values that are missing."""
    rows = []
    for measure in measures.columns:
        for code in CODES:
            values = measures[measure].to_numpy(float)[dx == code]
            values = values[np.isfinite(values)]
            quantiles = np.quantile(values, list(QUANTILES.values())) if len(values) else [np.nan] * 5
            rows.append([measure, code, len(values), *quantiles])
    return pd.DataFrame(rows, columns=["measure", "diagnosis", "images", *QUANTILES])
