"""What a fold's best and last weights score out of fold with one view, told metadata and told nothing.

Usage: python benchmarks/checkpoints.py FOLD-RUN …
"""

import sys
from pathlib import Path

import torch
from scipy.special import softmax

from lesionwise.evaluation.evaluate import evaluate
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import fresh_network, predict_logits
from lesionwise.training.hardware import keep_memory
from lesionwise.training.run import prepare_again

SCORES = ("balanced_accuracy", "accuracy", "macro_auc", "log_loss")


def kept_network(run: RunFolder, recipe: Recipe, kept: str) -> Network:
    """Return the network of a run with its "best" or its "last" weights, looking at one view."""
    state = torch.load(run.checkpoints / f"{kept}.ckpt", map_location="cpu", weights_only=True)["state_dict"]
    network = fresh_network(recipe)
    network.load_state_dict(
        {name.removeprefix("network."): state[name] for name in state if name.startswith("network.")}
    )
    return network


def main(folders: list[Path]) -> None:
    keep_memory()
    for folder in folders:
        run = RunFolder(folder)
        recipe, data, _ = prepare_again(run, None)
        rows, known = data.rows("test"), data.metadata(recipe.metadata)
        for kept in ("best", "last"):
            network = kept_network(run, recipe, kept)
            for way, metadata in (("told nothing", None), ("told", known)):
                logits = predict_logits(network, recipe, data.pixels, rows, metadata=metadata, device="cpu")
                found = evaluate(data.y[rows], softmax(logits, axis=1), data.group[rows])
                shown = [f"{score} {found.overall[score]}" for score in SCORES]
                print(
                    folder.name,
                    kept,
                    way,
                    *shown,
                    f"mel auc {found.per_class['mel']['auc']}",
                    sep="; ",
                    flush=True,
                )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
