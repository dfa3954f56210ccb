"""What stands out in a data set, in plain sentences whose every number is computed from it.

They count images, unless they say lesions. A sentence that has nothing to say is left out.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Floats
from lesionwise.evaluation.scores.ranking import binary_auc_score
from lesionwise.explore import tables
from lesionwise.explore.abcd import MASK_MEASURES
from lesionwise.explore.feature_map import FeatureMap
from lesionwise.explore.pixels import COLOR_MEASURES
from lesionwise.labels import CODES, NAMES
from lesionwise.wording import counted

_ENOUGH: Final = 20  # images from which a part is worth a sentence
_CLEAR_LIFT: Final = 1.5
_CLEAR_GAP: Final = 0.05
_EVEN: Final = 0.5


def main_remarks(
    table: pd.DataFrame, measures: pd.DataFrame, mapped: FeatureMap | None, *, features: str
) -> list[str]:
    """Return what stands out, the most consequential first."""
    dx = table["dx"].to_numpy(str)
    sentences = [
        *_imbalance(table),
        *_siblings(table),
        *_confirmation(table),
        *_ages(table),
        *_sexes(table),
        *_sites(table),
        *_missing(table),
        *_colors(measures, dx),
        *_melanoma(measures, dx),
    ]
    if mapped:
        sentences.append(
            f"By {features} alone, the most similar image of another lesion has the same diagnosis in "
            f"{mapped.agreement:.0%} of cases, with equal weight for each diagnosis; chance gives "
            f"{mapped.chance:.0%}."
        )
    return [sentence.replace("%", "\u00a0%") for sentence in sentences]


def explained_by_diagnosis(values: Floats, dx: NDArray[np.str_]) -> float:
    """Return the part of a measure's variance that lies between the diagnoses (η²), from 0 to 1."""
    means = [(values[dx == code].mean(), (dx == code).sum()) for code in np.unique(dx)]
    between = sum(count * (mean - values.mean()) ** 2 for mean, count in means)
    return float(between / max(((values - values.mean()) ** 2).sum(), 1e-12))


def _imbalance(table: pd.DataFrame) -> Iterator[str]:
    counts = table["dx"].value_counts()
    first, last = str(counts.index[0]), str(counts.index[-1])
    if counts.iloc[0] >= 2 * counts.iloc[-1]:
        yield (
            f"{counts.iloc[0] / len(table):.0%} of {counted(len(table), 'image')} are {first} "
            f"({NAMES[first]}), {counts.iloc[0] / counts.iloc[-1]:.0f} times as many as {last}. Accuracy "
            f"rewards calling everything {first}; use balanced accuracy."
        )


def _siblings(table: pd.DataFrame) -> Iterator[str]:
    counts = tables.diagnosis_table(table)
    shared, lesions = int(counts["sharing_their_lesion"].sum()), table["lesion_id"].nunique()
    if not shared:
        return
    top = counts[counts["images"] >= _ENOUGH].sort_values("share_sharing").tail(1)
    most = "".join(
        f" ({share:.0%} of the {code} images)"
        for code, share in zip(top["diagnosis"], top["share_sharing"], strict=True)
    )
    yield (
        f"{counted(len(table), 'image shows', 'images show')} {counted(lesions, 'lesion')}: "
        f"{shared / len(table):.0%} of the images share their lesion with another{most}. Split by lesion, "
        "or the score measures memory."
    )


def _confirmation(table: pd.DataFrame) -> Iterator[str]:
    counts = tables.count_table(table, "dx_type").set_index("dx_type")
    pure = [
        (str(value), code, int(row["images"]))
        for value, row in counts.iterrows()
        if value != tables.UNKNOWN
        for code in CODES
        if row["images"] >= _ENOUGH and row[code] == row["images"]
    ]
    if pure and len(counts) > 1 and (counts[list(CODES)].sum() > 0).sum() > 1:
        found = " and ".join(f"all {images:,} {value} images are {code}" for value, code, images in pure)
        yield f"The way a diagnosis was confirmed reveals it: {found}. dx_type must never reach a model."


def _ages(table: pd.DataFrame) -> Iterator[str]:
    medians = table.dropna(subset=["age"]).groupby("dx")["age"].agg(["median", "size"])
    medians = medians[medians["size"] >= _ENOUGH].sort_values("median")
    if len(medians) > 1 and medians["median"].iloc[0] < medians["median"].iloc[-1]:
        young, old = medians.iloc[0], medians.iloc[-1]
        yield (
            f"Age tells diagnoses apart: the median is {young['median']:.0f} years for {young.name} and "
            f"{old['median']:.0f} for {old.name}. A model that sees age may answer by it."
        )


def _sexes(table: pd.DataFrame) -> Iterator[str]:
    known = table[table["sex"] != tables.UNKNOWN]
    shares = known.groupby("dx")["sex"].agg(male=lambda sex: float((sex == "male").mean()), images="size")
    shares = shares[shares["images"] >= _ENOUGH].sort_values("male")
    if len(shares) > 1 and shares["male"].iloc[-1] - shares["male"].iloc[0] > _CLEAR_GAP:
        low, high = shares.iloc[0], shares.iloc[-1]
        yield (
            f"{(known['sex'] == 'male').mean():.0%} of the images with a known sex are of men: "
            f"{low['male']:.0%} for {low.name}, {high['male']:.0%} for {high.name}."
        )


def _sites(table: pd.DataFrame) -> Iterator[str]:
    known = table[table["localization"] != tables.UNKNOWN]
    counts = pd.crosstab(known["dx"], known["localization"])
    overall = counts.sum() / max(len(known), 1)
    shares = counts.div(counts.sum(axis=1), axis=0)
    lead = (shares - overall).where(counts >= _ENOUGH, -np.inf).to_numpy(float)
    if lead.max(initial=-np.inf) <= 0:
        return
    row, column = divmod(int(lead.argmax()), lead.shape[1])
    share, of_all = shares.to_numpy()[row, column], overall.to_numpy()[column]
    if share >= _CLEAR_LIFT * of_all:
        yield (
            f"Site and diagnosis go together: {share:.0%} of {counts.index[row]} images are of the "
            f"{counts.columns[column]}, against {of_all:.0%} of all."
        )


def _missing(table: pd.DataFrame) -> Iterator[str]:
    lacking = {
        "age": int(table["age"].isna().sum()),
        **{name: int((table[name] == tables.UNKNOWN).sum()) for name in ("sex", "localization", "dx_type")},
    }
    gaps = [f"{name} {count:,}" for name, count in lacking.items() if count]
    if gaps:
        yield f"Images without a value: {', '.join(gaps)}. Nothing is filled in."


def _colors(measures: pd.DataFrame, dx: NDArray[np.str_]) -> Iterator[str]:
    if len(np.unique(dx)) < 2:  # noqa: PLR2004 (there is nothing to tell apart)
        return
    shares = {name: explained_by_diagnosis(measures[name].to_numpy(float), dx) for name in COLOR_MEASURES}
    name = max(shares, key=shares.__getitem__)
    medians = measures[name].groupby(dx).median().sort_values()
    yield (
        f"Among light and colour, {name} differs most between diagnoses: they account for "
        f"{shares[name]:.0%} of its variance, from a median of {medians.iloc[0]:.1f} ({medians.index[0]}) "
        f"to {medians.iloc[-1]:.1f} ({medians.index[-1]}). Part of it is the light of the clinic, not the "
        "skin."
    )


def _melanoma(measures: pd.DataFrame, dx: NDArray[np.str_]) -> Iterator[str]:
    separations = {}
    for name in MASK_MEASURES:
        values = measures[name].to_numpy(float)
        mel, nv = (values[(dx == code) & np.isfinite(values)] for code in ("mel", "nv"))
        if min(len(mel), len(nv)) < _ENOUGH:
            return
        both = np.concatenate([mel, nv])
        separations[name] = float(binary_auc_score(np.arange(len(both)) < len(mel), both))
    name = max(separations, key=lambda measure: abs(separations[measure] - _EVEN))
    words = {"area": "size", "colors": "variety of colours", "detail": "amount of fine detail",
             "border": "irregularity of the border", "against_skin": "contrast with the skin"}  # fmt: skip
    side = "above" if separations[name] > _EVEN else "below"
    best, alone = (max(separations[key], 1 - separations[key]) for key in (name, "asymmetry"))
    yield (
        f"Among the measures of the masks, {words.get(name, name)} separates melanoma from nevus best: the "
        f"melanoma image is {side} the nevus image in {best:.0%} of pairs, by asymmetry in {alone:.0%}."
    )
