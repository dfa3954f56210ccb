"""The table of every shipped recipe under a split by lesion and a split by image, from kept runs.

    python benchmarks/accuracy/recipes.py benchmarks/runs

A run stands in `<recipe>-lesion` or `<recipe>-image`, what is cross-validated in `<recipe>-folds` or
`<recipe>-image-folds`. Whatever is not there is named as not measured.
"""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from lesionwise.recipe import Recipe
from lesionwise.training.fit import fresh_network

RECIPES = (
    "seed-mlp", "seed-cnn-256", "seed-cnn", "seed-kfold", "seed-vgg16",
    "small", "probe", "mobilenetv2", "best", "best-blur-0", "large",
)  # fmt: skip
KEPT_AS = {"small-lesion": "small-s0"}  # one of three seeds
SPLITS = {
    "lesion": "by lesion",
    "image": "by image (leaks)",
    "resampled": "500 a class, then by image (leaks)",
    "folds": "by lesion, out of fold",
    "image-folds": "by image, out of fold (leaks)",
}
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
HEADER = (
    "recipe", "split", "images scored", *(name.replace("_", " ") for name in SCORES),
    "weights", "minutes of training", "images/s",
)  # fmt: skip


def read_json(path: Path) -> Any:  # noqa: ANN401 (whatever the file holds)
    return json.loads(path.read_text(encoding="utf-8"))


def read_recipe(run: Path) -> Recipe:
    return Recipe(**tomllib.loads((run / "config.toml").read_text(encoding="utf-8")))


def count_weights(run: Path) -> int:
    return sum(weight.numel() for weight in fresh_network(read_recipe(run)).parameters())


def cost(run: Path) -> tuple[str, str]:
    """Return minutes and images per second of training: of a run's epochs the median, of folds the mean.

    So neither a pause nor a start that was broken off is counted. A probe has one row, which is all of it.
    Features that a run computed once, before its first epoch, are in its minutes and not in the pace.
    """
    own = run / "history.csv"
    kept = [own] if own.is_file() else [*run.glob("fold-*/history.csv")]
    if not kept:
        return "?", "?"
    epochs = [pd.read_csv(path) for path in kept]
    minutes = mean(len(rows) * rows["seconds"].median() / 60 for rows in epochs)
    if own.is_file() and not read_recipe(run).probe:
        minutes += read_json(run / "timing.json")["train"]["parts"].get("features", 0.0) / 60
    pace = mean(rows["images_per_second"].median() for rows in epochs)
    return f"{minutes:.0f}", f"{pace:.0f}"


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    for recipe in RECIPES:
        names = {split: f"{recipe}-{split}" for split in SPLITS}
        kept = {split: folder / KEPT_AS.get(name, name) for split, name in names.items()}
        there = {split: run for split, run in kept.items() if (run / "scores.json").is_file()}
        if not there:
            yield (f"`{recipe}`", "not measured", *[""] * (len(HEADER) - 2))
        for split, run in there.items():
            parts = read_json(run / "scores.json")["parts"]
            scored = parts["test"] if "test" in parts else parts["out-of-fold"]
            cells = (
                "{value:.3f} ({low:.3f} to {high:.3f})".format(**scored["overall"][name]) for name in SCORES
            )
            weights = f"{count_weights(run):,}"
            yield (f"`{recipe}`", SPLITS[split], f"{scored['images']:,}", *cells, weights, *cost(run))


def main(folder: Path) -> None:
    for row in (HEADER, ("---",) * len(HEADER), *rows(folder)):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
