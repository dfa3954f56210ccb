"""What a model could learn without looking at a lesion: how far the table alone predicts the diagnosis.

Here: class imbalance, and one small classifier for each column. Not here: the pixels of the lesion.

A column that predicts the diagnosis far better than chance is a shortcut: either it tells how the label was
made (`dx_type`: only nevi were followed up, every cancer has a histology) and must never reach a model, or it
is a fact of the clinic (age) that a model may use only if its users have it too.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from lesionwise.arrays import Floats
from lesionwise.data.findings import Finding

FOLDS: Final = 5
IMBALANCE: Final = 10.0
"""Ratio of the commonest to the rarest diagnosis from which accuracy alone misleads."""

ABOVE_CHANCE: Final = 0.05
"""Balanced accuracy above chance from which a column is reported."""

COLUMNS: Final = ("dx_type", "dataset", "age", "sex", "localization")
_REMEDY: Final = {
    "dx_type": "It shows how the diagnosis was made. Never give it to a model or choose images by it.",
    "dataset": "It shows which clinic the image is from. Never give it to a model.",
    "how it was taken": "Look at scores with and without hair, rulers and vignettes.",
}


@dataclass(frozen=True)
class Shortcut:
    """How well something beside the lesion predicts the diagnosis.

    Attributes:
        balanced_accuracy: Mean over the folds.
        spread: Standard deviation over the folds.
        chance: What guessing reaches: one over the number of diagnoses.
    """

    name: str
    balanced_accuracy: float
    spread: float
    chance: float

    @property
    def tempting(self) -> bool:
        """Whether it is worth a warning."""
        return self.balanced_accuracy - self.spread > self.chance + ABOVE_CHANCE

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary."""
        return {**vars(self), "tempting": self.tempting}


def find_shortcuts(table: pd.DataFrame, measures: dict[str, Floats] | None = None) -> list[Shortcut]:
    """Return how well each column, all of them, and how the image was taken predict the diagnosis.

    Each is the balanced accuracy of a logistic regression with balanced classes, in five folds that keep
    lesions together. Nothing is returned where a diagnosis has fewer than two lesions.
    """
    lesions = table.groupby("dx")["lesion_id"].nunique()
    folds = min(FOLDS, int(lesions.min())) if len(lesions) > 1 else 0
    if folds < 2:  # noqa: PLR2004 (one fold is no cross-validation)
        return []
    columns = [name for name in COLUMNS if name in table and len(table[name].unique()) > 1]
    features = {name: pd.get_dummies(_binned(table[name]), dtype=float) for name in columns}
    sets = {name: frame.to_numpy() for name, frame in features.items()}
    if len(columns) > 1:
        sets["the table altogether"] = np.hstack(list(sets.values()))
    if measures:
        values = np.column_stack(list(measures.values()))
        sets["how it was taken"] = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    y = table["dx"].to_numpy(str)
    split = list(splitter.split(y, y, table["lesion_id"]))
    return [_score(name, values, y, split) for name, values in sets.items()]


def shortcut_findings(shortcuts: list[Shortcut]) -> list[Finding]:
    """Return one finding that names the shortcuts, the strongest first."""
    tempting = sorted((cut for cut in shortcuts if cut.tempting), key=lambda cut: -cut.balanced_accuracy)
    if not tempting:
        return []
    shown = ", ".join(f"{cut.name} {cut.balanced_accuracy:.2f}" for cut in tempting)
    message = (
        "the diagnosis can be guessed without looking at the lesion; balanced accuracy by lesion, chance "
        f"{tempting[0].chance:.2f}: {shown}"
    )
    remedies = " ".join(_REMEDY[cut.name] for cut in tempting if cut.name in _REMEDY)
    details = tuple(cut.to_json() for cut in tempting)
    remedy = remedies or "Compare a model's score with these."
    return [Finding("D020", "warning", message, remedy, details=details)]


def imbalance_findings(dx: pd.Series) -> list[Finding]:
    """Return a finding if one diagnosis is much commoner than another."""
    counts = dx.value_counts()
    if len(counts) == 0 or counts.iloc[0] < IMBALANCE * counts.iloc[-1]:
        return []
    most, least = counts.index[0], counts.index[-1]
    message = (
        f"{most} has {counts[most] / counts[least]:.0f} times as many images as {least}: always answering "
        f"{most} has an accuracy of {counts[most] / counts.sum():.3f}"
    )
    remedy = "Choose by balanced accuracy. Balance classes in training alone, after the split."
    details = {str(code): int(count) for code, count in counts.items()}
    return [Finding("D019", "warning", message, remedy, details=(details,))]


def _binned(column: pd.Series) -> pd.Series:
    """Return values as words: ages in steps of five years; a missing value is a word too."""
    if column.name == "age":
        years = pd.to_numeric(column, errors="coerce")
        return (years // 5 * 5).map(lambda year: "unknown" if np.isnan(year) else f"{year:.0f}")
    return column.fillna("unknown").astype(str)


def _score(
    name: str,
    values: Floats,
    y: NDArray[np.str_],
    split: list[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> Shortcut:
    model = LogisticRegression(class_weight="balanced", max_iter=300)
    with warnings.catch_warnings():  # a little short of the optimum is near enough
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        scores = cross_val_score(model, values, y, cv=split, scoring="balanced_accuracy", error_score="raise")
    return Shortcut(name, float(scores.mean()), float(scores.std()), 1 / len(set(y)))
