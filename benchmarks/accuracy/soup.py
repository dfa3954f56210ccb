"""Average the weights of several runs of one recipe and split into one run, which answers as fast as each.

    python benchmarks/accuracy/soup.py OUT RUN RUN …

All go on from the same weights, so that the mean of their weights is a network of the same kind. Recipe and
split are those of the first; batch norm's means and variances are averaged as weights are. What `train` does
after the last epoch is done with the mean: predictions of `cal`, calibration, and the numbers for rejection.
"""

import shutil
import sys
from pathlib import Path
from typing import Final

import torch

from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import write_part_predictions
from lesionwise.training.loop.checkpoints import read_checkpoint
from lesionwise.training.run import learn_from_cal, prepare_again

KEPT: Final = ("config.toml", "data.json", "environment.json", "split.csv", "split.json", "start.json")


def mean_of(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of states of one network, tensor by tensor; whole numbers are those of the first."""
    return {
        name: sum(state[name] for state in states) / len(states) if value.is_floating_point() else value
        for name, value in states[0].items()
    }


def main(out: Path, folders: list[Path]) -> None:
    """Write the run of the mean."""
    runs = [RunFolder(folder) for folder in folders]
    first, run = runs[0], RunFolder(out)
    if any(other.split.read_bytes() != first.split.read_bytes() for other in runs):
        sys.exit("Expected runs of one split but their splits differ.")
    run.checkpoints.mkdir(parents=True)
    for name in KEPT:
        if (first.path / name).exists():
            shutil.copy(first.path / name, out / name)
    states = [read_checkpoint(each.best)["state_dict"] for each in runs]
    torch.save({"state_dict": mean_of(states)}, run.best)
    recipe, data, _ = prepare_again(run)
    write_part_predictions(run, recipe, data, ("cal",), device="cpu")
    learn_from_cal(run, recipe, data, device="cpu")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
