"""Score the probe's last layer on val and out of fold, with and without metadata, from features in a file.

    python benchmarks/accuracy/probe.py DATA FEATURES.npy STRENGTH

FEATURES.npy has a row for each image in the order of their ids: the mean of every channel over the image,
then its standard deviation, layer by layer of the recipe. Any engine may give them: see the page of results.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionwise.data.dataset import read_dataset
from lesionwise.data.metadata import encoding_of
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.models import probe
from lesionwise.recipe import load_recipe
from lesionwise.split.assign import fold_split
from lesionwise.split.split_file import read_split

Array = NDArray[Any]
SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss")
NAMES = ("age", "sex", "localization")


def fit_and_predict(
    features: Array, y: Array, group: Array, known: Array, *, train: Array, held: Array
) -> dict[str, Array]:
    middle, turn = probe.main_directions(features[train], load_recipe("probe").directions)
    turned = [((features[rows] - middle) @ turn.T).astype(float) for rows in (train, held)]
    counts = np.bincount(y[train], minlength=7)
    weights = len(train) / counts / 7
    fitting = probe.Fitting(class_weights=weights, standardise=False, metadata_dropout=0.5)
    alone = probe.fit_probe(turned[0], y[train], group[train], fitting=fitting)
    told = probe.fit_probe(turned[0], y[train], group[train], metadata=known[train], fitting=fitting)
    return {
        "image alone": alone.logits(turned[1]),
        "with metadata": told.logits(turned[1], known[held]),
        "with metadata, absent": told.logits(turned[1]),
    }


def show(title: str, logits: dict[str, Array], y: Array, group: Array) -> None:
    for name, values in logits.items():
        found = evaluate(y, softmax(values), group).overall
        shown = ", ".join(
            f"{score} {found[score].value:.3f} ({found[score].low:.3f} to {found[score].high:.3f})"
            for score in SCORES
        )
        print(f"{title}, {name}: {shown}", flush=True)


def main() -> None:
    data, features = read_dataset(Path(sys.argv[1])), np.load(sys.argv[2], mmap_mode="r")
    probe.STRENGTHS = (float(sys.argv[3]),)
    split = read_split(Path(__file__).parents[1] / "reference_split.csv")
    table = split.frame.set_index("image_id").loc[data.table["image_id"]]
    part, group = table["part"].to_numpy(str), table["group"].to_numpy(str)
    columns = {name: data.table[name].tolist() for name in NAMES}
    known = encoding_of(NAMES).encode_table(columns, len(data.y))
    train, val = np.flatnonzero(part == "train"), np.flatnonzero(part == "val")
    show(
        "val", fit_and_predict(features, data.y, group, known, train=train, held=val), data.y[val], group[val]
    )
    pooled = {}
    for fold in (1, 2, 3, 4):
        dealt = fold_split(split, fold, data, group, seed=0).frame.set_index("image_id")["part"]
        own = dealt.reindex(data.table["image_id"], fill_value="").to_numpy(str)
        train, held = np.flatnonzero(own == "train"), np.flatnonzero(own == "test")
        for name, values in fit_and_predict(features, data.y, group, known, train=train, held=held).items():
            pooled.setdefault(name, np.full((len(own), 7), np.nan))[held] = values
    rows = np.flatnonzero(np.isfinite(pooled["image alone"]).all(axis=1))
    show("folds 1-4", {name: values[rows] for name, values in pooled.items()}, data.y[rows], group[rows])


if __name__ == "__main__":
    main()
