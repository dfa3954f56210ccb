"""What a fold's best and last weights score out of fold with one view, with and without metadata.

Usage: python benchmarks/search/checkpoints.py FOLD-RUN …
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from lesionwise.arrays import Floats
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import predict_logits, read_network
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again

SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss")


def print_scores(name: str, logits: Floats, data: TrainingData, rows: NDArray[np.int64]) -> None:
    """Print what some images' logits score, in one line."""
    found = evaluate(data.y[rows], softmax(logits, axis=1), data.group[rows])
    shown = [f"{score} {found.overall[score]}" for score in SCORES]
    print(name, *shown, f"mel auc {found.per_class['mel']['auc']}", sep="; ", flush=True)


def main(folders: list[Path]) -> None:
    for folder in folders:
        run = RunFolder(folder)
        recipe, data, _ = prepare_again(run)
        rows, known = data.rows("test"), data.metadata(recipe.metadata)
        for kept in ("best", "last"):
            network = read_network(run.checkpoints / f"{kept}.ckpt", recipe)
            for way, metadata in (("without metadata", None), ("with metadata", known)):
                logits = predict_logits(network, recipe, data.pixels, rows, metadata=metadata, device="cpu")
                print_scores(f"{folder.name}; {kept}; {way}", logits, data, rows)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
